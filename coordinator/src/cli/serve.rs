//! `quorate serve`: the listener where nodes enrol. Closed unless this command runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use quorate_proto::trust::listen;
use quorate_proto::{ENROL_PORT, NodeName};

use super::args::node_name;
use crate::site::{Clock, Site, SiteError, Tiding, serve_enrolment};

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), ENROL_PORT);

/// Lets nodes with a token enrol, until Ctrl-C
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ANYWHERE)]
    pub listen: SocketAddr,
    /// End once these nodes are enrolled, each with the newest token made for it
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = node_name)]
    pub until_enrolled: Vec<NodeName>,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    pub state: PathBuf,
}

impl ServeArgs {
    /// Serves until `stop` or until the named nodes are enrolled, and tells what happens.
    pub async fn run(
        &self,
        clock: Clock,
        stop: impl Future<Output = ()>,
        tell: impl Fn(&str),
    ) -> Result<(), SiteError> {
        let site = Arc::new(Site::open(&self.state)?);
        let failed = |source| SiteError::Listen { address: self.listen.to_string(), source };
        let listener = listen(self.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tell(&format!("nodes of site {} can enrol at {address}", site.id()));
        let awaited = self.until_enrolled.iter().cloned().collect();
        let happened = |tiding: &Tiding| {
            tell(&match tiding {
                Tiding::Enrolled(node) => format!("{node} is enrolled"),
                Tiding::Waits { node, source } => format!(
                    "{node} waits for your approval, from {source}: read the six words on its console, \
                     then run `quorate node approve {node} --code \"SIX WORDS\"` here"
                ),
            });
        };
        serve_enrolment(site, listener, clock, awaited, stop, happened).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn serving_says_where_and_ends_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let args = ServeArgs { listen, until_enrolled: Vec::new(), state: state.clone() };
        let now = SystemTime::now();
        let clock: Clock = Arc::new(move || now);
        let told = RefCell::new(String::new());
        let tell = |text: &str| told.borrow_mut().push_str(text);
        let early = args.run(Arc::clone(&clock), std::future::ready(()), tell).await;
        assert!(matches!(early, Err(SiteError::Missing { .. })), "{early:?}");
        assert!(told.borrow().is_empty());

        Site::create(&state, now).unwrap();
        args.run(clock, std::future::ready(()), tell).await.unwrap();
        assert!(told.borrow().contains("can enrol at 127.0.0.1:"), "{told:?}");
    }
}
