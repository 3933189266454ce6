//! Where a goal tells what it is doing.

use quorate_proto::{Activity, ActivityKind, Event};
use tokio::sync::mpsc::UnboundedSender;

/// Takes the events of one operation. Telling never fails: nobody may be listening.
#[derive(Debug, Clone)]
pub struct Progress(UnboundedSender<Event>);

impl Progress {
    /// Events go to this channel.
    pub fn new(events: UnboundedSender<Event>) -> Self {
        Self(events)
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
        // The receiver is gone when the coordinator is: the work goes on all the same.
        self.0.send(event).ok();
    }
}
