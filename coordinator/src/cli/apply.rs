//! `quorate apply`: makes the cluster what the specification says.

use tokio::time::Instant;

use super::procedure::carry_out;
use super::{CliError, ClusterArgs, Exit, warn};
use crate::procedure::Procedure;

/// Makes the cluster what the specification says, from wherever it is now
#[derive(Debug, clap::Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Adds the seconds of each step at the end
    #[arg(long)]
    timings: bool,
}

impl ApplyArgs {
    /// Plans, carries out, looks again. Says what is left if it cannot be finished.
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        let began = Instant::now();
        let session = self.cluster.open()?;
        warn(&session.loaded);
        carry_out(&self.cluster, session, Procedure::BringUp, began, self.timings).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use clap::Parser as _;
    use quorate_proto::RunId;

    use super::*;
    use crate::cli::{Cli, SPEC};
    use crate::driver::{LockHolder, RunLock, now_ms};
    use crate::site::Site;

    /// How `quorate apply` ends on this specification. Nobody may be called.
    async fn applied(folder: &Path, text: &str) -> CliError {
        let (file, state) = (folder.join("cluster.yaml"), folder.join("state"));
        std::fs::write(&file, text).unwrap();
        Site::create(&state, SystemTime::now()).unwrap();
        let holder = LockHolder { pid: 4711, run: RunId("run-1".to_owned()), since_ms: now_ms() };
        let _lock = RunLock::take(&state, &holder).unwrap();
        let words = ["quorate".as_ref(), "apply".as_ref(), "-f".as_ref(), file.as_os_str()];
        let cli =
            Cli::try_parse_from(words.into_iter().chain(["--state".as_ref(), state.as_os_str()]));
        cli.unwrap().run().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_second_apply_says_who_is_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = applied(folder.path(), SPEC).await;
        assert_eq!(error.exit, Exit::Blocked);
        let text = error.text();
        let told = "error: another run from this state folder is under way\n  \
                    because run run-1, process 4711, began 0";
        assert!(text.starts_with(told), "{text}");
        assert!(text.ends_with(
            "hint: nothing was changed; `quorate status` shows how far that run is\n\
                 hint: wait for its end, or stop it with Ctrl-C or `kill -INT 4711` and run \
                 `quorate apply` again\n"
        ));
    }

    #[tokio::test]
    async fn a_specification_that_makes_no_sense_ends_it_before_anybody_is_called() {
        for bad in [SPEC.replace("spec:", "spec: ["), SPEC.replace("v1.35.4", "v1.20.1")] {
            let folder = tempfile::tempdir().unwrap();
            let error = applied(folder.path(), &bad).await;
            assert_eq!(error.exit, Exit::Spec);
            assert!(error.text().contains("cluster.yaml cannot be used as it is"));
        }
    }
}
