//! `quorate trust`: whom the nodes trust, and until when everybody's certificates hold.

use std::path::PathBuf;
use std::time::SystemTime;

use quorate_proto::trust::{KeyDigest, OperatorName};
use quorate_proto::{NodeName, Sha256, unhex};

use super::args::{RootKeysArgs, node_name, operator_name};
use super::renew::RenewArgs;
use super::rotate::RotateArgs;
use super::{CliError, ClusterArgs, Exit, load};
use crate::fleet::{FleetError, Pushed, TrustCalls};
use crate::site::{Deny, Site, TrustStanding};
use crate::ui::{self, Output, trust_text};

/// Says whom the nodes trust, and trusts somebody no more
#[derive(Debug, clap::Args)]
pub(super) struct TrustArgs {
    #[command(subcommand)]
    command: TrustCommand,
}

#[derive(Debug, clap::Subcommand)]
enum TrustCommand {
    Status(StatusArgs),
    Deny(DenyArgs),
    Push(PushArgs),
    Renew(RenewArgs),
    Rotate(RotateArgs),
    Reissue(ReissueArgs),
}

/// Shows every certificate that was given out, when it ends, and what each node trusts
#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Prints the ends as metrics, for a file of node_exporter's textfile collector
    #[arg(long)]
    metrics: bool,
}

/// Trusts an operator, a node or a key no more, and tells every node of the specification
///
/// An operator is refused at the next call. A node gets no orders until it is enrolled anew.
#[derive(Debug, clap::Args)]
struct DenyArgs {
    #[command(subcommand)]
    whom: Whom,
}

#[derive(Debug, clap::Subcommand)]
enum Whom {
    /// All certificates of an operator
    Operator {
        #[arg(value_parser = operator_name)]
        name: OperatorName,
        #[command(flatten)]
        with: DenyWith,
    },
    /// All certificates that operators were given so far; runs under way lose theirs too
    Operators {
        #[command(flatten)]
        with: DenyWith,
    },
    /// All certificates of a node; `quorate node token` lets it in again
    Node {
        #[arg(value_parser = node_name)]
        name: NodeName,
        #[command(flatten)]
        with: DenyWith,
    },
    /// One key, by the digest that `quorate trust status` shows
    Key {
        #[arg(value_parser = digest)]
        digest: KeyDigest,
        #[command(flatten)]
        with: DenyWith,
    },
}

#[derive(Debug, clap::Args)]
struct DenyWith {
    #[command(flatten)]
    keys: RootKeysArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Tells every node of the specification whom to trust now
#[derive(Debug, clap::Args)]
struct PushArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Makes the issuing authorities anew, for another year; nobody has to do anything for it
#[derive(Debug, clap::Args)]
struct ReissueArgs {
    #[command(flatten)]
    keys: RootKeysArgs,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    state: PathBuf,
}

impl TrustArgs {
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        match &self.command {
            TrustCommand::Status(args) => args.run().await,
            TrustCommand::Deny(args) => args.run().await,
            TrustCommand::Push(args) => args.run().await,
            TrustCommand::Renew(args) => args.run().await,
            TrustCommand::Rotate(args) => args.run().await,
            TrustCommand::Reissue(args) => args.run(),
        }
    }
}

impl StatusArgs {
    async fn run(&self) -> Result<Exit, CliError> {
        let site = self.cluster.site()?;
        let calls = self.cluster.trust_calls(&site)?;
        let statuses = calls.statuses().await;
        let standing = TrustStanding::of(&site, statuses, SystemTime::now())?;
        if self.metrics {
            ui::print(&trust_text::metrics(&standing));
        } else if self.cluster.output == Output::Json {
            ui::print(&ui::json::trust(&standing));
        } else {
            ui::print(&trust_text::text(&standing));
        }
        Ok(Exit::Holds)
    }
}

impl DenyArgs {
    async fn run(&self) -> Result<Exit, CliError> {
        let (deny, with) = match &self.whom {
            Whom::Operator { name, with } => (Deny::Operator(name.clone()), with),
            Whom::Operators { with } => (Deny::Operators, with),
            Whom::Node { name, with } => (Deny::Node(name.clone()), with),
            Whom::Key { digest, with } => (Deny::Key(*digest), with),
        };
        let site = with.cluster.site()?;
        // Without it nobody could be told: better to hear of that while nothing is changed.
        let spec = load(&with.cluster.file, "nobody was denied")?.spec;
        let keys = with.keys.root_keys.as_deref();
        let bundle = site.deny(&deny, keys, SystemTime::now())?;
        ui::print(&format!("denied from generation {} on\n", bundle.generation));
        push(&site, &site.run_calls(&spec, SystemTime::now())?).await
    }
}

impl PushArgs {
    async fn run(&self) -> Result<Exit, CliError> {
        let site = self.cluster.site()?;
        push(&site, &self.cluster.trust_calls(&site)?).await
    }
}

impl ReissueArgs {
    fn run(&self) -> Result<Exit, CliError> {
        let keys = self.keys.root_keys.as_deref();
        Site::open(&self.state)?.reissue(keys, SystemTime::now())?;
        ui::print(
            "both issuing authorities are new, for a year; what the old ones signed stays good\n",
        );
        Ok(Exit::Holds)
    }
}

/// Exit code 1 where a node was not reached: it trusts as before until it is.
async fn push(site: &Site, calls: &TrustCalls) -> Result<Exit, CliError> {
    let (bundle, signed) = site.bundle()?;
    let statuses = calls.statuses().await;
    let pushed = calls.push(statuses, bundle.generation, &signed.to_json()).await;
    ui::print(&trust_text::pushed(bundle.generation, &pushed));
    let current = |(_, answer): &(NodeName, Result<Pushed, FleetError>)| {
        matches!(answer, Ok(Pushed::Given(_) | Pushed::Had(_)))
    };
    Ok(if pushed.iter().all(current) { Exit::Holds } else { Exit::Failed })
}

fn digest(text: &str) -> Result<KeyDigest, String> {
    let known = Sha256::try_from(text.to_owned()).map_err(|error| error.to_string())?;
    let bytes = unhex(known.as_str()).and_then(|bytes| bytes.try_into().ok());
    bytes.map(KeyDigest).ok_or_else(|| "64 hexadecimal digits are needed".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    #[tokio::test]
    async fn where_nobody_could_be_told_nobody_is_denied() {
        let folder = tempfile::tempdir().unwrap();
        let (file, state) = (folder.path().join("cluster.yaml"), folder.path().join("state"));
        let site = Site::create(&state, SystemTime::now()).unwrap();
        std::fs::write(&file, "spec: [").unwrap();
        let words = ["quorate", "trust", "deny", "operator", "alice", "-f"].map(Into::into);
        let state = ["--state".into(), state.into_os_string()];
        let words: Vec<std::ffi::OsString> =
            words.into_iter().chain([file.into_os_string()]).chain(state).collect();
        let error = Cli::try_parse_from(words).unwrap().run().await.unwrap_err();
        assert_eq!(error.exit, Exit::Spec);
        assert_eq!(site.bundle().unwrap().0.generation, 1);
    }

    #[test]
    fn a_key_is_named_as_it_is_shown() {
        let key = KeyDigest([0xa7; 32]);
        assert_eq!(digest(&key.to_string()), Ok(key));
        assert!(digest("a7").is_err());
    }
}
