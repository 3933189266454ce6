//! The one place through which all events of a run pass: stamped, stored, folded, shown.
//!
//! What is shown and what is stored can therefore never disagree.

use quorate_proto::RunId;
use tokio::time::Instant;

use crate::run::{Outcome, RunEvent, RunState, Stamped};
use crate::store::{Store, StoreError};
use crate::ui::View;

/// Takes the events of one run, in the order in which they are to be told.
pub(super) struct Record<'a> {
    run: RunId,
    began: Instant,
    store: &'a mut Store,
    view: Box<dyn View>,
    state: RunState,
    next: u64,
    unstored: Vec<Stamped>,
}

impl<'a> Record<'a> {
    /// Nothing is told yet.
    pub(super) fn new(
        run: RunId,
        began: Instant,
        store: &'a mut Store,
        view: Box<dyn View>,
    ) -> Self {
        let (state, unstored) = (RunState::default(), Vec::new());
        Self { run, began, store, view, state, next: 1, unstored }
    }

    /// Tells an event. It reaches the disk with the next [`Self::flush`].
    pub(super) fn tell(&mut self, event: RunEvent) {
        let stamped = Stamped { seq: self.next, at_ms: self.at_ms(), event };
        self.next += 1;
        self.state.fold(&stamped);
        self.view.show(&self.state, &stamped);
        self.unstored.push(stamped);
    }

    /// Stores what was told so far.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.unstored.is_empty() {
            return Ok(());
        }
        self.store.append_events(&self.run, &self.unstored)?;
        self.unstored.clear();
        Ok(())
    }

    /// Lets the view show how time goes by.
    pub(super) fn tick(&mut self) {
        self.view.tick(&self.state, self.at_ms());
    }

    /// What the events add up to.
    pub(super) fn state(&self) -> &RunState {
        &self.state
    }

    /// Tells the end of the run and stores it.
    pub(super) fn finish(&mut self, outcome: &Outcome, ended_ms: u64) -> Result<(), StoreError> {
        // Time since the last event counts: fold it first, so that the account is whole.
        let account = self.state.account_until(self.at_ms());
        self.tell(RunEvent::Finished { outcome: outcome.clone(), account });
        self.flush()?;
        self.store.end_run(&self.run, ended_ms, outcome)
    }

    /// Leaves the terminal as it is.
    pub(super) fn close(&mut self) {
        self.view.close();
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
