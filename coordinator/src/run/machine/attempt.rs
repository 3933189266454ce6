//! One order to one node, followed to its end through broken connections.
//!
//! An order is never simply sent again: after a break the node is asked what it does, and unless it
//! works on this very operation, whether the goal holds already.

use quorate_proto::{Event, Facts, Failure, Finding, GoalId, OperationId, Term};

use crate::fleet::FleetError;

/// Pauses before the node is asked again. A restarted agent is back within the first, a rebooted
/// machine within all of them: together two minutes.
const PAUSES_MS: [u64; 8] = [500, 1_000, 2_000, 6_000, 20_000, 30_000, 30_000, 30_000];

/// How often a node did not answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Patience(usize);

impl Patience {
    /// The pause before the node is asked again; `None` once it was asked often enough.
    pub(super) fn next(&mut self) -> Option<u64> {
        let pause = PAUSES_MS.get(self.0).copied();
        self.0 += 1;
        pause
    }
}

/// An order that is out.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) operation: OperationId,
    /// Of this step in this round; the first has number 1.
    pub(super) number: u32,
    pub(super) since_ms: u64,
    /// It has been running for longer than it should.
    pub(super) overdue: bool,
    patience: Patience,
}

/// What an attempt does next.
#[derive(Debug)]
pub(super) enum Next {
    /// The order is sent, or its operation attached to.
    Send,
    /// The node is asked what it does.
    Describe,
    /// The node is asked whether the goal holds.
    Check,
    /// The connection broke: the node is asked again after a pause.
    Pause {
        ms: u64,
        why: String,
    },
    Ended(Event),
    /// What the node does is not known.
    Lost(String),
    /// The node is at another operation, and did not take this one.
    Busy {
        operation: OperationId,
        goal: GoalId,
    },
    /// A newer run gives the orders.
    Superseded(Term),
}

impl Attempt {
    pub(super) fn new(operation: OperationId, number: u32, now_ms: u64) -> Self {
        let patience = Patience::default();
        Self { operation, number, since_ms: now_ms, overdue: false, patience }
    }

    /// After a break: what the node does.
    pub(super) fn described(&self, facts: Facts) -> Next {
        match facts.under_way {
            Some(under_way) if under_way.operation == self.operation => Next::Send,
            Some(other) => Next::Busy { operation: other.operation, goal: other.goal },
            None => Next::Check,
        }
    }

    /// After a break: whether the goal holds already.
    pub(super) fn checked(findings: &[Finding]) -> Next {
        if let Some(Finding::Satisfied) = findings.first() {
            return Next::Ended(Event::Ended { finding: Finding::Satisfied, failure: None });
        }
        Next::Send
    }

    /// The stream has ended without the operation's end.
    pub(super) fn closed(&mut self, result: Result<(), FleetError>) -> Next {
        match result {
            Ok(()) => self.broken("it closed the connection before the end".to_owned()),
            Err(error) => self.failed(error),
        }
    }

    pub(super) fn failed(&mut self, error: FleetError) -> Next {
        match error {
            FleetError::Superseded { term, .. } => Next::Superseded(term),
            FleetError::Busy { operation, goal, .. } => Next::Busy { operation, goal },
            FleetError::Refused { why, .. } => Next::Ended(refused(why)),
            FleetError::Stranger { why, .. } | FleetError::Distrusted { why, .. } => {
                Next::Lost(why)
            }
            FleetError::Silent { why, .. } => self.broken(why),
        }
    }

    fn broken(&mut self, why: String) -> Next {
        match self.patience.next() {
            Some(ms) => Next::Pause { ms, why },
            None => Next::Lost(why),
        }
    }
}

/// Why another attempt may do: the node says so, or it is not known what came of this one.
pub(super) fn mends(ended: &Event) -> Option<String> {
    let Event::Ended { finding, failure } = ended else { return None };
    let causes = |failure: &Failure| failure.causes.join(", because ");
    match (finding, failure) {
        (Finding::Satisfied, _) => None,
        (_, Some(failure)) if failure.transient => Some(causes(failure)),
        (Finding::Unknown { why }, None) => Some(why.clone()),
        (Finding::Unknown { .. } | Finding::Drifted(_) | Finding::Refused { .. }, _) => None,
    }
}

fn refused(why: String) -> Event {
    let causes = vec![format!("the order was not carried out: {why}")];
    let failure = Failure { causes, ..Failure::default() };
    Event::Ended { finding: Finding::Unknown { why }, failure: Some(failure) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_that_stays_silent_is_lost_after_two_minutes() {
        let mut attempt = Attempt::new(OperationId("1".to_owned()), 1, 0);
        let silent = || {
            let (node, why) = ("cp-1".try_into().unwrap(), "no route".to_owned());
            FleetError::Silent { node, why }
        };
        let mut waited_ms = 0;
        while let Next::Pause { ms, .. } = attempt.failed(silent()) {
            waited_ms += ms;
        }
        assert!(matches!(attempt.failed(silent()), Next::Lost(_)));
        assert_eq!(waited_ms, 119_500);
    }
}
