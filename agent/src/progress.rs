//! Where a goal tells what it is doing.

use std::sync::{Arc, Mutex, PoisonError};

use quorate_proto::{Activity, ActivityKind, Event, Redactor, redact};
use tokio::sync::mpsc::UnboundedSender;

/// Takes the events of one operation, and hides its secrets. Telling never fails: nobody may be
/// listening.
#[derive(Debug, Clone)]
pub struct Progress {
    events: UnboundedSender<Event>,
    redactor: Redactor,
    lines: Arc<Mutex<redact::Lines>>,
}

impl Progress {
    /// Events go to this channel; no secret is known by its value.
    pub fn new(events: UnboundedSender<Event>) -> Self {
        Self::hiding(Redactor::default(), events)
    }

    /// Events go to this channel, without these secrets.
    pub fn hiding(redactor: Redactor, events: UnboundedSender<Event>) -> Self {
        let lines = Arc::new(Mutex::new(redact::Lines::new(redactor.clone())));
        Self { events, redactor, lines }
    }

    /// For what is kept of a command's output beside the events.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// From now on the operation does this.
    pub fn doing(&self, kind: ActivityKind, text: impl Into<String>) {
        self.send(Event::Activity(Activity { kind, text: text.into() }));
    }

    /// A command printed a line.
    pub fn output(&self, line: impl Into<String>) {
        self.send(Event::Output { line: line.into() });
    }

    fn send(&self, event: Event) {
        let event = self.lines.lock().unwrap_or_else(PoisonError::into_inner).event(event);
        // The receiver is gone when the coordinator is: the work goes on all the same.
        self.events.send(event).ok();
    }
}
