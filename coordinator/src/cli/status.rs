//! `quorate status`: what the nodes say of themselves. Asks for facts alone.

use super::{CliError, ClusterArgs, Exit};
use crate::driver::{now_ms, survey};
use crate::ui::{self, Output, status_text};

/// Shows each node, what it holds and does, and etcd's members
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl StatusArgs {
    /// A node that does not answer is shown, and no error.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        let spec = &cluster.loaded.spec;
        let survey = survey(&cluster.fleet, spec, None).await;
        if self.cluster.output == Output::Json {
            ui::print(&ui::json::status(&survey.observed));
        } else {
            ui::print(&status_text::text(spec, &survey.observed, now_ms()));
        }
        Ok(Exit::Holds)
    }
}
