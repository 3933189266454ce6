//! `quorate node claim`: lets a node in that cannot reach this machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use quorate_proto::NodeName;

use super::args::node_name;
use super::nodes::not_approved;
use super::{CliError, Exit};
use crate::site::{ClaimNodeError, ClaimedNode, Site, Target, claim_node};
use crate::ui;

/// Lets in a node that cannot reach this machine: dials it, where `quorate-agent enrol --listen` runs
///
/// Make its token with `quorate node token` as usual. The node speaks with nobody but the coordinator
/// whose root the token pins, and proves that it holds the token.
#[derive(Debug, clap::Args)]
pub struct ClaimArgs {
    /// The node's name
    #[arg(value_parser = node_name)]
    name: NodeName,
    /// Where the node listens, such as 10.0.0.11:7443
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: SocketAddr,
    /// The six words that the node shows, where it needs your approval
    #[arg(long, value_name = "WORDS")]
    code: Option<String>,
    /// The folder with this site's keys, nodes and history
    #[arg(long, value_name = "DIR", default_value = super::STATE, env = "QUORATE_STATE")]
    state: PathBuf,
}

impl ClaimArgs {
    pub(super) async fn run(&self, now: SystemTime) -> Result<Exit, CliError> {
        let Self { name, address, code, state } = self;
        let site = Site::open(state)?;
        let target = Target { node: name, address: *address, code: code.as_deref() };
        match claim_node(&site, target, now).await {
            Ok(ClaimedNode::Enrolled) => {
                ui::print(&format!("{name} is enrolled\n"));
                Ok(Exit::Holds)
            }
            Ok(ClaimedNode::Waits) => {
                let message = format!("{name} waits for your approval");
                Err(CliError::message(Exit::Failed, message).hint(format!(
                    "read the six words on its console and run the same command again with --code \
                     \"SIX WORDS\"; `quorate node list` shows what {name} says of itself"
                )))
            }
            Err(ClaimNodeError::Site(error)) => Err(error.into()),
            Err(ClaimNodeError::Code { approved, .. }) => Err(not_approved(name, approved)),
            Err(error) => Err(CliError::new(Exit::Failed, &error).hint(
                "no certificate was given, unless an earlier try of this command did; \
                 `quorate node list` shows how far the node is",
            )),
        }
    }
}
