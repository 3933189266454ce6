//! Operations that this run has no order for: their nodes are asked until they are over.

use quorate_proto::{NodeName, OperationId, StepId, UnderWay};

use super::{Alarm, Caller, Round};
use crate::engine;
use crate::fleet::FleetError;
use crate::run::RunEvent;
use crate::run::machine::attempt::Patience;
use crate::run::machine::effect::Turn;
use crate::run::machine::survey::Described;

/// Between two looks at a node.
const LOOK_MS: u64 = 1_000;

/// An operation of another run.
#[derive(Debug, Clone)]
pub(super) struct Awaited {
    step: StepId,
    operation: OperationId,
    patience: Patience,
}

impl Round {
    /// Follows it until it is over.
    pub(super) fn wait(&mut self, node: NodeName, operation: OperationId, turn: &mut Turn<'_>) {
        let is_it = |known: &&UnderWay| known.operation == operation;
        let planned = self.plan.under_way.get(&node).filter(is_it);
        let goal = planned.map_or_else(|| "another operation".into(), |known| known.goal.clone());
        let doing = goal.doing();
        let by = planned.map(|known| known.term.clone());
        let step = StepId { node: node.clone(), goal };
        let (recorded, followed) = (step.clone(), operation.clone());
        turn.record(RunEvent::Followed { step: recorded, operation: followed, by, doing });
        let awaited = Awaited { step, operation, patience: Patience::default() };
        self.awaited.insert(node.clone(), awaited);
        self.look(node, turn);
    }

    pub(super) fn look(&mut self, node: NodeName, turn: &mut Turn<'_>) {
        let call = turn.describe(node.clone(), None);
        self.callers.insert(call, Caller::Awaited(node));
    }

    /// What a node does that was at an operation of another run.
    pub(super) fn looked(
        &mut self,
        node: NodeName,
        answer: Result<Described, FleetError>,
        turn: &mut Turn<'_>,
    ) {
        let Some(awaited) = self.awaited.get_mut(&node) else { return };
        let pause_ms = match &answer {
            Ok(described) => {
                awaited.patience = Patience::default();
                let now = described.facts.under_way.as_ref();
                now.filter(|now| now.operation == awaited.operation).map(|_| LOOK_MS)
            }
            Err(_) => awaited.patience.next(),
        };
        if let Some(pause_ms) = pause_ms {
            self.alarms.set(Alarm::Look(node), turn.now_ms + pause_ms);
            return;
        }
        let step = awaited.step.clone();
        self.awaited.remove(&node);
        match answer {
            Ok(_) => {
                turn.record(RunEvent::Freed { step });
                self.feed(engine::Input::Freed { node }, turn);
            }
            Err(error) => self.lost(step, error.why(), turn),
        }
    }
}
