//! Messages on their way: late, twice, or never to arrive; and which coordinator reaches which node.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate::run::machine::Call;
use quorate_proto::{Finding, Goal, GoalId, NodeName, OperationId, RunId, StepId, Term};

#[derive(Debug, Clone, Default)]
pub(super) struct Network {
    pub orders: Vec<Order>,
    pub answers: Vec<Answer>,
    cut: BTreeSet<(RunId, NodeName)>,
}

/// An order on its way to a node.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub from: RunId,
    pub call: Call,
    pub step: StepId,
    pub operation: OperationId,
    pub term: Term,
    pub goal: Arc<Goal>,
    pub material: Option<RunId>,
}

/// An answer on its way to the run that gave the order.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub to: RunId,
    pub call: Call,
    pub operation: OperationId,
    pub told: Told,
}

/// What an agent tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Ended {
        finding: Finding,
        claims_success: bool,
        /// What failed may work the next time.
        transient: bool,
    },
    Busy {
        operation: OperationId,
        goal: GoalId,
    },
    /// It obeys a newer run.
    Superseded,
    /// The order was not taken, such as when the ledger cannot be written.
    Refused,
}

impl Network {
    pub(super) fn is_cut(&self, run: &RunId, node: &NodeName) -> bool {
        // Without a cut, as almost always, there is nothing to compare.
        !self.cut.is_empty() && self.cut.contains(&(run.clone(), node.clone()))
    }

    /// Cuts the link between a coordinator and a node, or mends it.
    pub(super) fn toggle(&mut self, run: &RunId, node: &NodeName) {
        let link = (run.clone(), node.clone());
        if !self.cut.remove(&link) {
            self.cut.insert(link);
        }
    }

    pub(super) fn mend(&mut self) {
        self.cut.clear();
    }

    /// Whether an order with this id has not arrived yet, or its answer has not.
    pub(super) fn carries(&self, run: &RunId, operation: &OperationId) -> bool {
        self.orders.iter().any(|order| order.operation == *operation)
            || self.answers.iter().any(|it| it.to == *run && it.operation == *operation)
    }
}
