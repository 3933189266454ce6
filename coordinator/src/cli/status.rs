//! `quorate status`: where the cluster stands by what the nodes say of themselves. Asks for facts
//! alone, so that a run that goes on is not disturbed and a node that is down costs a few seconds.

use super::{CliError, ClusterArgs, Exit};
use crate::driver::{RunLock, now_ms, survey};
use crate::status::{Runs, Status};
use crate::store::Store;
use crate::ui::{self, Output, status_text};

/// Shows where the cluster stands: each node, what it is at, etcd's members, and what to do next
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Adds what each machine is
    #[arg(long)]
    machines: bool,
}

impl StatusArgs {
    /// A node that does not answer is shown, and no error.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        let survey = survey(&cluster.fleet, &cluster.loaded.spec, None).await;
        // Where these cannot be read, no fact about the cluster is hidden.
        let recorded = |store: &Store| Runs {
            holder: RunLock::holder(&self.cluster.state).unwrap_or_default(),
            recorded: store.runs().unwrap_or_default(),
        };
        let runs = cluster.store.as_ref().map(recorded).unwrap_or_default();
        let status = Status::of(&cluster.loaded.spec, &survey, &runs, now_ms());
        if self.cluster.output == Output::Json {
            ui::print(&ui::json::status(&status));
        } else {
            ui::print(&status_text::text(&status, self.machines));
        }
        Ok(Exit::Holds)
    }
}
