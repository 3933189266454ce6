//! `quorate node cordon` and `quorate node uncordon`: whether a node takes new pods.

use quorate_proto::NodeName;
use quorate_proto::goal::Scheduling;
use tokio::time::Instant;

use super::args::node_name;
use super::procedure::{carry_out, show};
use super::{CliError, ClusterArgs, Exit};
use crate::procedure::Procedure;
use crate::ui::plan_text::Detail;

#[derive(Debug, clap::Args)]
pub struct CordonArgs {
    /// The node's name in the cluster
    #[arg(value_parser = node_name)]
    name: NodeName,
    /// Shows what would be done, and does nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl CordonArgs {
    /// Plans and carries out, as `apply` does, what sets the node's field.
    pub(super) async fn run(&self, unschedulable: bool) -> Result<Exit, CliError> {
        let began = Instant::now();
        let session = self.cluster.open()?;
        let procedure = Procedure::Cordon(Scheduling { node: self.name.clone(), unschedulable });
        if self.dry_run {
            return show(&self.cluster, &session, &procedure, &[], Detail::Full).await;
        }
        carry_out(&self.cluster, session, procedure, began, false).await
    }
}
