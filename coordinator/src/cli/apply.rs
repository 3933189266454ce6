//! `quorate apply`: makes the cluster what the specification says.

use quorate_proto::RunId;
use quorate_proto::trust::Role;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::{CliError, ClusterArgs, Exit, OpenCluster};
use crate::driver::{DriveError, LockError, LockHolder, Request, RunLock, apply, now_ms};
use crate::plan::Procedure;
use crate::run::Outcome;
use crate::spec::Loaded;
use crate::ui::{self, Output, plan_text};

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
        let cluster = self.cluster.open()?;
        cluster.needs(Role::Operator)?;
        cluster.warn();
        carry_out(&self.cluster, cluster, Procedure::BringUp, began, self.timings).await
    }
}

/// One run of a procedure, alone in its state folder.
pub(super) async fn carry_out(
    args: &ClusterArgs,
    cluster: OpenCluster,
    procedure: Procedure,
    began: Instant,
    timings: bool,
) -> Result<Exit, CliError> {
    let mut store = args.history()?;
    let run = RunId(Uuid::now_v7().to_string());
    let holder = LockHolder { pid: std::process::id(), run: run.clone(), since_ms: now_ms() };
    let _lock = RunLock::take(&args.state, &holder).map_err(|error| locked(&error))?;
    cluster.keep_trust().await;
    let first = cluster.draw_up(&procedure).await?;
    let OpenCluster { loaded: Loaded { spec, sha256, .. }, fleet, .. } = cluster;
    if args.output != Output::Json && !first.plan.is_complete() {
        ui::print(&plan_text::brief(&spec, &first.plan));
    }
    let spec_sha256 = sha256.to_string();
    let interrupts = interrupts();
    let request = Request { fleet, spec, procedure, spec_sha256, run, began, interrupts };
    let outcome = apply(&request, first, &mut store, args.output.view(timings)).await;
    outcome.map(|outcome| exit(&outcome)).map_err(|error| failed(&error))
}

fn exit(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Holds => Exit::Holds,
        Outcome::Failed { .. } => Exit::Failed,
        Outcome::Blocked { .. } => Exit::Blocked,
        Outcome::Superseded { .. } => Exit::Superseded,
        Outcome::Interrupted { .. } => Exit::Interrupted,
    }
}

/// Counts how often Ctrl-C is pressed.
fn interrupts() -> watch::Receiver<u32> {
    let (presses, pressed) = watch::channel(0);
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            presses.send_modify(|presses| *presses += 1);
        }
    });
    pressed
}

pub(super) fn locked(error: &LockError) -> CliError {
    match error {
        LockError::Held(holder) => {
            let who = holder.as_ref().map(|LockHolder { pid, run, since_ms }| {
                let ago = ui::duration(now_ms().saturating_sub(*since_ms));
                format!("run {run}, process {pid}, began {ago} ago")
            });
            let stop = holder.as_ref().map_or_else(
                || "stop it with Ctrl-C".to_owned(),
                |holder| format!("stop it with Ctrl-C or `kill -INT {}`", holder.pid),
            );
            CliError::message(Exit::Blocked, error.to_string())
                .because(who.unwrap_or_else(|| "it has just begun".to_owned()))
                .hint("nothing was changed; `quorate status` shows how far that run is")
                .hint(format!("wait for its end, or {stop} and run `quorate apply` again"))
        }
        LockError::Io { .. } => CliError::new(Exit::Failed, error)
            .hint("see that the state folder can be written by you"),
    }
}

fn failed(error: &DriveError) -> CliError {
    let (exit, first) = match error {
        DriveError::Store(error) => (Exit::Failed, error.advice()),
        DriveError::Random(_) => (Exit::Failed, "see that /dev/urandom can be read"),
        DriveError::OutOfReach { .. } => (
            Exit::Blocked,
            "no run counts so far, so someone gave it a false term: on the node, see that nothing is \
             under way, stop quorate-executor.socket and quorate-executor.service, move \
             /var/lib/quorate-executor/ledger.json away, and start the socket again",
        ),
    };
    CliError::new(exit, error).hint(first).hint(
        "then run the same command again: no further order was sent, what runs at the nodes goes \
         on there, and that run follows it",
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, SPEC};
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
