//! What a person reads of a case that is played again, and of a scenario.

use quorate::run::RunEvent;
use quorate::run::machine::Effect;
use quorate_proto::{Event, Finding, OperationId};

/// What happened in a run, where someone wants to read it: most cases are only counted.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub wanted: bool,
    pub lines: Vec<String>,
}

impl Log {
    /// Adds a line.
    pub fn add(&mut self, line: impl FnOnce() -> String) {
        if self.wanted {
            self.lines.push(line());
        }
    }

    /// Adds a line for each event that is recorded.
    pub(super) fn add_effects(&mut self, effects: &[Effect]) {
        let sent = |operation: &OperationId| {
            let is_it = |effect: &Effect| matches!(effect, Effect::Send { order, .. } if order.operation == *operation);
            effects.iter().any(is_it)
        };
        for effect in effects.iter().filter(|_| self.wanted) {
            if let Effect::Record(event) = effect {
                self.lines.extend(describe(event, &sent));
            }
        }
    }
}

/// Whether a step or a node is at its end with this.
pub(super) fn is_of_nodes(event: &RunEvent) -> bool {
    match event {
        RunEvent::Told { event, .. } => matches!(event, Event::Ended { .. }),
        RunEvent::NotTaken { .. } | RunEvent::Freed { .. } | RunEvent::Lost { .. } => true,
        RunEvent::Began { .. }
        | RunEvent::Planned { .. }
        | RunEvent::Missed { .. }
        | RunEvent::Dispatched { .. }
        | RunEvent::Followed { .. }
        | RunEvent::Broken { .. }
        | RunEvent::Overdue { .. }
        | RunEvent::Retrying { .. }
        | RunEvent::Noted { .. }
        | RunEvent::Interrupted
        | RunEvent::Finished { .. } => false,
    }
}

/// An event in a few words. `sent`: whether an order of this operation goes out with it.
fn describe(event: &RunEvent, sent: &impl Fn(&OperationId) -> bool) -> Option<String> {
    Some(match event {
        RunEvent::Planned { left, .. } => format!("-- plans {} steps", left.len()),
        RunEvent::Missed { silent, .. } => format!("-- misses {} nodes", silent.len()),
        RunEvent::Dispatched { step, .. } => format!("order {step}"),
        RunEvent::Followed { step, operation, .. } if sent(operation) => format!("attach {step}"),
        RunEvent::Followed { step, .. } => format!("await {}", step.node),
        RunEvent::Told { step, event: Event::Ended { finding: Finding::Satisfied, .. } } => {
            format!("{step} holds")
        }
        RunEvent::Told { step, event: Event::Ended { .. } } => format!("{step} does not hold"),
        RunEvent::NotTaken { step, why } => format!("{step} is not taken: {why}"),
        RunEvent::Freed { step } => format!("{} is free", step.node),
        RunEvent::Lost { step, .. } => format!("{} is lost", step.node),
        RunEvent::Overdue { step, .. } => format!("-- {step} is overdue"),
        RunEvent::Broken { step, .. } => format!("-- {step} breaks"),
        RunEvent::Retrying { step, .. } => format!("{step} fails, to be tried again"),
        RunEvent::Interrupted => "interrupted".to_owned(),
        RunEvent::Began { .. }
        | RunEvent::Told { .. }
        | RunEvent::Noted { .. }
        | RunEvent::Finished { .. } => return None,
    })
}
