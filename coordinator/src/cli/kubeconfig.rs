//! `quorate kubeconfig`: the cluster's admin kubeconfig, for kubectl.

use std::path::PathBuf;

use quorate_proto::Secret;
use quorate_proto::trust::Role;

use super::{CliError, ClusterArgs, Exit};
use crate::fleet::FleetError;
use crate::site::replace_private;
use crate::spec::Role as NodeRole;
use crate::ui;

/// Prints the admin kubeconfig, or writes it to a file
///
/// It gives every right in the cluster: keep it as you keep root's password.
#[derive(Debug, clap::Args)]
pub(super) struct KubeconfigArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Writes it there, readable by its owner alone, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl KubeconfigArgs {
    /// Asks the control planes one after the other until one has it.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let cluster = self.cluster.open()?;
        cluster.needs(Role::Admin)?;
        let mut error = CliError::message(Exit::Failed, "no control plane gave its kubeconfig");
        for node in cluster.loaded.spec.with_role(NodeRole::ControlPlane) {
            match cluster.fleet.kubeconfig(&node.name).await {
                Ok(kubeconfig) => return self.hand_out(&kubeconfig),
                Err(refused) => error = error.because(because(&refused)),
            }
        }
        Err(error.hint("`quorate status` shows which nodes answer; `quorate apply` completes them"))
    }

    fn hand_out(&self, kubeconfig: &Secret) -> Result<Exit, CliError> {
        let Some(path) = &self.out else {
            ui::print(kubeconfig.expose());
            return Ok(Exit::Holds);
        };
        replace_private(path, kubeconfig.expose()).map_err(|error| {
            CliError::message(Exit::Failed, format!("writing {}", path.display()))
                .because(error.to_string())
                .hint("name another file with --out")
        })?;
        ui::complain(&format!("written; use it with `kubectl --kubeconfig {}`\n", path.display()));
        Ok(Exit::Holds)
    }
}

fn because(error: &FleetError) -> String {
    format!("{error}: {}", error.why())
}
