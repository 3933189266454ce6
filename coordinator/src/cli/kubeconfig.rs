//! `quorate kubeconfig`: the cluster's admin kubeconfig, for kubectl.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use quorate_proto::Secret;

use super::{CliError, ClusterArgs, Exit};
use crate::fleet::FleetError;
use crate::spec::Role;
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
        let mut error = CliError::message(Exit::Failed, "no control plane gave its kubeconfig");
        for node in cluster.loaded.spec.with_role(Role::ControlPlane) {
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
        write_secret(path, kubeconfig).map_err(|error| {
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

/// Whole or not at all, and never readable by others, not even for a moment.
fn write_secret(path: &Path, content: &Secret) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let temporary = PathBuf::from(name);
    // A leftover of ours may have other rights: begin with a fresh file.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(content.expose().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_kubeconfig_is_written_for_its_owner_alone_also_over_an_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, &Secret::new("new".to_owned())).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
