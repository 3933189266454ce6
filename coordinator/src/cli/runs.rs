//! `quorate runs`: the runs that were made from this state folder, and one of them again.

use std::path::PathBuf;

use super::{CliError, Exit};
use crate::driver::{LockHolder, RunLock, now_ms};
use crate::run::{Fate, NoSuchRun, PastRun, find, width};
use crate::site::history;
use crate::store::{Store, StoreError, StoredRun};
use crate::ui::{self, Output, runs_text};

/// Lists past runs, newest first, or shows one again
///
/// History is for people: no command decides by it. The newest 100 runs are kept.
#[derive(Debug, clap::Args)]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    command: Option<RunsCommand>,
    /// How many runs to list at most
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 20)]
    limit: usize,
    /// The folder with this site's keys, nodes and history
    #[arg(
        long,
        value_name = "DIR",
        default_value = super::STATE,
        env = "QUORATE_STATE",
        global = true
    )]
    state: PathBuf,
    /// How things are shown: as text, or as JSON
    #[arg(long, value_enum, default_value_t, value_name = "FORM", global = true)]
    output: Output,
}

#[derive(Debug, clap::Subcommand)]
enum RunsCommand {
    Show(ShowArgs),
}

/// Shows a run again, to the letter as `apply` printed it
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The run's id or how it begins; the newest run without it
    run: Option<String>,
    /// Adds the seconds of each step at the end
    #[arg(long)]
    timings: bool,
}

impl RunsArgs {
    /// Reads the store alone; calls nobody.
    pub(super) fn run(&self) -> Result<Exit, CliError> {
        let store = history(&self.state)?;
        let runs = store.runs().map_err(|error| unreadable(&error))?;
        match &self.command {
            None => self.list(&store, &runs),
            Some(RunsCommand::Show(args)) => self.show(args, &store, &runs),
        }
    }

    fn list(&self, store: &Store, runs: &[StoredRun]) -> Result<Exit, CliError> {
        let past = runs.iter().take(self.limit).map(|run| {
            let events = store.milestones(&run.id).map_err(|error| unreadable(&error))?;
            Ok(PastRun::of(run.clone(), &events, self.running(run)?))
        });
        let past = past.collect::<Result<Vec<_>, CliError>>()?;
        if self.output == Output::Json {
            ui::print(&ui::json::runs(&past, now_ms()));
        } else {
            let older = runs.len() - past.len();
            ui::print(&runs_text::table(&past, width(runs), older, now_ms()));
        }
        Ok(Exit::Holds)
    }

    fn show(&self, args: &ShowArgs, store: &Store, runs: &[StoredRun]) -> Result<Exit, CliError> {
        let run = match &args.run {
            Some(given) => find(runs, given).map_err(|error| no_such(&error))?,
            None => runs.first().ok_or_else(none_yet)?,
        };
        let events = store.events(&run.id).map_err(|error| unreadable(&error))?;
        if self.output == Output::Json {
            ui::print(&events.iter().map(ui::json::stored).collect::<String>());
        } else {
            ui::print(&runs_text::replay(&events, args.timings));
        }
        // Not on standard output: that is what was shown then, and no more.
        match PastRun::of(run.clone(), &events, self.running(run)?).fate {
            Fate::Ended => {}
            Fate::Running { pid } => {
                ui::complain(&format!("run {} still runs, as process {pid}\n", run.id));
            }
            Fate::CutOff => ui::complain(&format!(
                "run {} was cut off here: its process was killed, or could store no more\n\
                 next: `quorate status` shows where the cluster stands; `quorate apply` goes on\n",
                run.id
            )),
        }
        Ok(Exit::Holds)
    }

    /// The process of a run that has not ended and holds the lock.
    fn running(&self, run: &StoredRun) -> Result<Option<u32>, CliError> {
        if run.ended_ms.is_some() {
            return Ok(None);
        }
        let holder = RunLock::holder(&self.state).map_err(|error| {
            CliError::new(Exit::Failed, &error).hint("see that you can read the state folder")
        })?;
        Ok(holder.filter(|LockHolder { run: held, .. }| *held == run.id).map(|holder| holder.pid))
    }
}

fn unreadable(error: &StoreError) -> CliError {
    CliError::new(Exit::Failed, error).hint(error.advice())
}

fn no_such(error: &NoSuchRun) -> CliError {
    let hint = match error {
        NoSuchRun::Unknown(_) => "`quorate runs -n 100` lists all runs that are kept",
        NoSuchRun::Ambiguous { .. } => "give more of the id",
    };
    CliError::new(Exit::Usage, error).hint(hint)
}

fn none_yet() -> CliError {
    CliError::message(Exit::Usage, "no run was made from this state folder yet")
        .hint("`quorate apply` makes the first; name another folder with --state")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use clap::Parser as _;
    use quorate_proto::RunId;

    use super::*;
    use crate::cli::Cli;
    use crate::site::Site;

    async fn run(folder: &std::path::Path, words: &[&str]) -> Result<Exit, CliError> {
        let state = folder.to_str().unwrap();
        let line = ["quorate", "runs", "--state", state];
        Cli::try_parse_from(line.iter().chain(words)).unwrap().run().await
    }

    #[tokio::test]
    async fn a_run_that_is_not_there_or_not_the_only_one_is_a_mistake_of_the_caller() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let site = Site::create(&folder, SystemTime::now()).unwrap();
        assert_eq!(run(&folder, &[]).await, Ok(Exit::Holds));
        let error = run(&folder, &["show"]).await.unwrap_err();
        assert_eq!(error.exit, Exit::Usage);

        let mut store = site.store().unwrap();
        for (id, term) in [("0197a3c2-5d1e", 1), ("0197a3c2-5d1f", 2)] {
            let (id, spec_sha256) = (RunId(id.to_owned()), String::new());
            let stored =
                StoredRun { id, term, spec_sha256, started_ms: 1, ended_ms: None, outcome: None };
            store.begin_run(&stored).unwrap();
        }
        assert_eq!(run(&folder, &["show"]).await, Ok(Exit::Holds));
        assert_eq!(run(&folder, &["show", "0197a3c2-5d1e"]).await, Ok(Exit::Holds));
        assert_eq!(run(&folder, &["-n", "1"]).await, Ok(Exit::Holds));
        let error = run(&folder, &["show", "abc"]).await.unwrap_err();
        let text = "error: no run is kept whose id begins with \"abc\"\n\
                    hint: `quorate runs -n 100` lists all runs that are kept\n";
        assert_eq!((error.exit, error.text().as_str()), (Exit::Usage, text));
        let error = run(&folder, &["show", "0197"]).await.unwrap_err();
        let text = "error: \"0197\" is how 2 ids of runs begin: 0197a3c2-5d1f, 0197a3c2-5d1e\n\
                    hint: give more of the id\n";
        assert_eq!((error.exit, error.text().as_str()), (Exit::Usage, text));
    }
}
