//! `quorate trust renew`: new keys and certificates for nodes that work.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use quorate_proto::NodeName;

use super::args::node_name;
use super::{CliError, ClusterArgs, Exit};
use crate::site::{NodeCall, renew_all};
use crate::ui::{self, trust_text};

/// Gives nodes new keys and certificates, while they work: those past a third of their life, or those named
///
/// Nothing restarts, and what is under way goes on. Run it again if it was cut off.
#[derive(Debug, clap::Args)]
pub(super) struct RenewArgs {
    /// These nodes, whatever is left of their certificates
    #[arg(value_name = "NODE", value_parser = node_name)]
    nodes: Vec<NodeName>,
    /// Every node of the specification, whatever is left of its certificate
    #[arg(long, conflicts_with = "nodes")]
    all: bool,
    /// Also where the certificate has ended: the node is known by the key that it was given last
    #[arg(long, requires = "nodes")]
    recover: bool,
    /// Also where the key is newer than the state folder, which was restored from a backup
    #[arg(long, conflicts_with = "recover")]
    restored: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl RenewArgs {
    /// Exit code 1 where a node keeps a certificate that it should not.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let site = Arc::new(self.cluster.site()?);
        let calls = self.cluster.trust_calls(&site)?;
        let known: BTreeSet<NodeName> = calls.nodes().cloned().collect();
        if let Some(stranger) = self.nodes.iter().find(|node| !known.contains(node)) {
            let message = format!("the specification does not name {stranger}");
            return Err(CliError::message(Exit::Usage, message).hint("no node was asked"));
        }
        let call = if self.recover {
            NodeCall::Recover
        } else if self.restored {
            NodeCall::Restored
        } else if self.all || !self.nodes.is_empty() {
            NodeCall::Now
        } else {
            NodeCall::WhenDue
        };
        let nodes =
            if self.nodes.is_empty() { known } else { self.nodes.iter().cloned().collect() };
        let renewed = renew_all(&site, &calls, nodes, call, SystemTime::now()).await;
        ui::print(&trust_text::renewed(&renewed));
        let whole = renewed.iter().all(|(_, answer)| answer.is_ok());
        Ok(if whole { Exit::Holds } else { Exit::Failed })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, SPEC};
    use crate::site::Site;

    #[tokio::test]
    async fn a_node_that_is_not_named_is_a_mistake_and_so_are_words_that_fight() {
        let folder = tempfile::tempdir().unwrap();
        let (file, state) = (folder.path().join("cluster.yaml"), folder.path().join("state"));
        Site::create(&state, SystemTime::now()).unwrap();
        std::fs::write(&file, SPEC).unwrap();
        let parse = |words: &[&str]| {
            let words = ["quorate", "trust", "renew"].iter().chain(words).map(OsString::from);
            let tail = [
                "-f".into(),
                file.clone().into_os_string(),
                "--state".into(),
                state.clone().into_os_string(),
            ];
            Cli::try_parse_from(words.chain(tail))
        };
        let error = parse(&["cp-9"]).unwrap().run().await.unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.text().contains("does not name cp-9"), "{}", error.text());
        for wrong in [&["--all", "cp-1"][..], &["--recover"], &["--recover", "--restored", "cp-1"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
