//! The one place through which all events of a run pass: stamped, stored, folded, shown.
//!
//! An event is shown once it is stored, so what was on the screen outlives a kill of this process.
//! Only what goes with an order waits for the disk as well: a commit takes 30 µs, a sync of the disk
//! milliseconds, and events come in hundreds.

use quorate_proto::RunId;
use tokio::time::Instant;

use crate::run::{Outcome, RunEvent, RunState, Stamped, View};
use crate::store::{Durability, Store, StoreError};

/// Takes the events of one run, in the order in which they are to be told.
pub(crate) struct Record<'a> {
    run: RunId,
    began: Instant,
    store: &'a mut Store,
    view: Box<dyn View>,
    state: RunState,
    next: u64,
    /// Neither stored nor shown yet.
    waiting: Vec<Stamped>,
}

impl<'a> Record<'a> {
    /// Nothing is told yet.
    pub(crate) fn new(
        run: RunId,
        began: Instant,
        store: &'a mut Store,
        view: Box<dyn View>,
    ) -> Self {
        let (state, waiting) = (RunState::default(), Vec::new());
        Self { run, began, store, view, state, next: 1, waiting }
    }

    /// Takes an event with its time. It is stored and shown with the next [`Self::flush`].
    pub(crate) fn tell(&mut self, event: RunEvent) {
        let stamped = Stamped { seq: self.next, at_ms: self.at_ms(), event };
        self.next += 1;
        self.waiting.push(stamped);
    }

    /// Stores what was told so far, in one transaction, and shows it.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let orders = self.waiting.iter().any(|stamped| is_order(&stamped.event));
        let durability = if orders { Durability::Machine } else { Durability::Process };
        self.store.append_events(&self.run, &self.waiting, durability)?;
        self.show();
        Ok(())
    }

    /// How many events were told and not flushed.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Lets the view show how time goes by.
    pub(crate) fn tick(&mut self) {
        self.view.tick(&self.state, self.at_ms());
    }

    /// Stores the end of the run, and shows it.
    pub(crate) fn finish(&mut self, outcome: &Outcome, ended_ms: u64) -> Result<(), StoreError> {
        self.flush()?;
        // Time since the last event counts too, so that the account is whole.
        let account = self.state.account_until(self.at_ms());
        self.tell(RunEvent::Finished { outcome: outcome.clone(), account });
        self.store.end_run(&self.run, &self.waiting, ended_ms, outcome)?;
        self.show();
        Ok(())
    }

    /// Leaves the terminal as it is.
    pub(crate) fn close(&mut self) {
        self.view.close();
    }

    fn show(&mut self) {
        for stamped in self.waiting.drain(..) {
            self.state.fold(&stamped);
            self.view.show(&self.state, &stamped);
        }
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Whether an order goes out by it: another run may have to know of that after a power cut.
fn is_order(event: &RunEvent) -> bool {
    matches!(event, RunEvent::Dispatched { .. } | RunEvent::Followed { .. })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};

    use quorate_proto::{Event, StepId};

    use super::*;
    use crate::store::{StoredEvent, StoredRun};

    /// Where the process that is to be killed finds its state folder.
    const FOLDER: &str = "QUORATE_TEST_RECORD";

    /// Prints each event as a line, as a terminal would get it.
    struct Printed;

    impl View for Printed {
        fn show(&mut self, _state: &RunState, stamped: &Stamped) {
            let line = serde_json::to_string(stamped).unwrap();
            writeln!(std::io::stderr().lock(), "{line}").unwrap();
        }

        fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

        fn close(&mut self) {}
    }

    fn begin(store: &mut Store) -> RunId {
        let run = RunId("run-1".to_owned());
        let (id, spec_sha256) = (run.clone(), String::new());
        let stored =
            StoredRun { id, term: 1, spec_sha256, started_ms: 1, ended_ms: None, outcome: None };
        store.begin_run(&stored).unwrap();
        run
    }

    fn output(line: u64) -> RunEvent {
        let step = StepId { node: "cp-1".try_into().unwrap(), goal: "packages".into() };
        RunEvent::Told { step, event: Event::Output { line: format!("line {line}") } }
    }

    /// Not a test of its own: what `what_was_shown_...` starts and kills.
    #[test]
    fn a_run_that_goes_on_until_it_is_killed() {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        let mut store = Store::open(folder.as_ref()).unwrap();
        let run = begin(&mut store);
        let mut record = Record::new(run, Instant::now(), &mut store, Box::new(Printed));
        for line in 0.. {
            record.tell(output(line));
            // Bursts of every length up to nine.
            if line % 10 >= line / 10 % 10 {
                record.flush().unwrap();
            }
        }
    }

    #[test]
    fn what_was_shown_is_stored_when_the_process_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "driver::record::tests::a_run_that_goes_on_until_it_is_killed"])
            .arg("--nocapture")
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut shown = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines: Vec<String> = shown.by_ref().take(500).map(Result::unwrap).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // What was in the pipe when the kill came had been shown as well.
        lines.extend(shown.map(Result::unwrap));
        let shown: Vec<Stamped> =
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(shown.len() + 1 >= lines.len(), "only the last line may be cut off");
        let store = Store::open(folder.path()).unwrap();
        let stored = store.events(&store.newest_run().unwrap().unwrap().id).unwrap();
        let stored: Vec<Stamped> = stored.iter().filter_map(StoredEvent::read).collect();
        assert!(shown.len() >= 500 && stored.starts_with(&shown), "{}", shown.len());
    }

    #[test]
    fn nothing_is_shown_that_could_not_be_stored() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        // A run that the store does not know of takes no events.
        let run = RunId("unknown".to_owned());
        let mut record = Record::new(run, Instant::now(), &mut store, Box::new(Unseen));
        record.tell(output(1));
        assert!(matches!(record.flush(), Err(StoreError::Write(_))));
        assert!(record.finish(&Outcome::Holds, 1).is_err());
    }

    struct Unseen;

    impl View for Unseen {
        fn show(&mut self, _state: &RunState, stamped: &Stamped) {
            panic!("shown: {stamped:?}");
        }

        fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

        fn close(&mut self) {}
    }
}
