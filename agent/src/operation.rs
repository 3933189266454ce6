//! One operation: those who follow it, and what they are told. What it does is the worker's part.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, StreamExt as _, stream};
use quorate_proto::{Activity, Event, Failure, Finding, Redactor};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::ledger::Begun;

/// Events that wait for a listener who is slower than the work: some seconds of kubeadm's output.
const WAITING: usize = 1024;
/// Of these, kept free of output lines, so that activities still find room.
const RESERVED: usize = 256;

/// An operation under way, or the last one that was.
#[derive(Debug)]
pub struct Operation {
    pub begun: Begun,
    /// Knows what the order brought that nobody may read.
    pub redactor: Redactor,
    told: Mutex<Told>,
    cancel: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Told {
    activity: Option<Activity>,
    /// Set once, by [`Operation::end`].
    ended: Option<Event>,
    listeners: Vec<mpsc::Sender<Event>>,
}

impl Operation {
    /// An operation that the ledger holds already.
    pub fn new(begun: Begun, redactor: Redactor) -> Self {
        Self { begun, redactor, told: Mutex::default(), cancel: watch::Sender::new(false) }
    }

    /// The events from now on, after the present activity; the last is always `Ended`.
    ///
    /// A listener that lags loses lines of output. The work never waits for it.
    pub fn follow(self: Arc<Self>, attached: bool) -> impl Stream<Item = Event> + Send + 'static {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut before = vec![Event::Started { attached }];
        {
            let mut told = self.told();
            before.extend(told.activity.clone().map(Event::Activity));
            if told.ended.is_none() {
                told.listeners.push(sender);
            }
        }
        // The channel ends when the operation has: only then is the end asked for.
        let end = stream::once(async move { self.ended() });
        let end = end.filter_map(|ended| async move { ended });
        stream::iter(before).chain(ReceiverStream::new(receiver)).chain(end)
    }

    /// Passes an event on to all who listen.
    pub fn tell(&self, event: &Event) {
        let mut told = self.told();
        if let Event::Activity(activity) = event {
            told.activity = Some(activity.clone());
        }
        told.listeners.retain(|listener| !listener.is_closed());
        let output = matches!(event, Event::Output { .. });
        for listener in &told.listeners {
            if !output || listener.capacity() > RESERVED {
                listener.try_send(event.clone()).ok();
            }
        }
    }

    /// The operation is over: this is what everyone is told last, now or whenever they ask.
    pub fn end(&self, finding: Finding, failure: Option<Failure>) {
        let mut told = self.told();
        told.ended = Some(Event::Ended { finding, failure });
        told.listeners.clear();
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.told().ended.is_some()
    }

    /// What it does now, or did last.
    pub fn activity(&self) -> Option<Activity> {
        self.told().activity.clone()
    }

    /// Asks it to end.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Returns once it was asked to end.
    pub async fn cancelled(&self) {
        // The sender is this operation's own, so it outlives the wait.
        self.cancel.subscribe().wait_for(|asked| *asked).await.ok();
    }

    /// Returns once it has ended.
    pub async fn over(self: Arc<Self>) {
        self.follow(true).for_each(|_| async {}).await;
    }

    fn ended(&self) -> Option<Event> {
        self.told().ended.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // No code that can panic runs under the lock, so what a poisoned one guards is whole.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::goal::HostGoal;
    use quorate_proto::{ActivityKind, Goal, OperationId, Term};

    use super::*;

    fn operation() -> Arc<Operation> {
        let operation = OperationId("1".to_owned());
        let begun = Begun {
            operation,
            term: Term::default(),
            goal: Goal::Host(HostGoal::SwapOff),
            since_ms: 0,
        };
        Arc::new(Operation::new(begun, Redactor::default()))
    }

    fn activity(text: &str) -> Event {
        Event::Activity(Activity { kind: ActivityKind::Own, text: text.to_owned() })
    }

    #[tokio::test]
    async fn who_attaches_is_told_the_present_activity_and_what_follows() {
        let operation = operation();
        operation.tell(&activity("one"));
        operation.tell(&activity("two"));
        let followed = Arc::clone(&operation).follow(true);
        operation.tell(&activity("three"));
        operation.end(Finding::Satisfied, None);
        let told: Vec<_> = followed.collect().await;
        let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
        let started = Event::Started { attached: true };
        assert_eq!(told, [started, activity("two"), activity("three"), ended]);
    }

    #[tokio::test]
    async fn a_listener_that_lags_loses_output_alone() {
        let operation = operation();
        let followed = Arc::clone(&operation).follow(false);
        for number in 0..2 * WAITING {
            operation.tell(&Event::Output { line: number.to_string() });
        }
        operation.tell(&activity("late"));
        operation.end(Finding::Satisfied, None);
        let told: Vec<_> = followed.collect().await;
        assert_eq!(told.len(), 1 + (WAITING - RESERVED) + 2);
        assert!(told.contains(&activity("late")));
        assert!(matches!(told.last(), Some(Event::Ended { .. })));
    }

    #[tokio::test]
    async fn the_end_is_told_whenever_it_is_asked_for() {
        let operation = operation();
        operation.end(Finding::Satisfied, None);
        for _ in 0..2 {
            let told: Vec<_> = Arc::clone(&operation).follow(true).collect().await;
            assert_eq!(told.len(), 2);
            assert!(matches!(told.last(), Some(Event::Ended { .. })));
        }
    }
}
