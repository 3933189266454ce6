//! The steps of a plan that have not ended, by id and by node.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::{NodeName, StepId};

use super::PlannedStep;

/// Steps in the order of their plan. Each lookup and removal costs the same in any plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingSteps {
    steps: BTreeMap<usize, PlannedStep>,
    places: BTreeMap<StepId, usize>,
    of_node: BTreeMap<NodeName, BTreeSet<usize>>,
}

impl PendingSteps {
    /// The steps of a plan.
    pub fn of(planned: &[PlannedStep]) -> Self {
        let mut pending = Self::default();
        for (at, planned) in (0..).zip(planned) {
            pending.places.insert(planned.step.clone(), at);
            pending.of_node.entry(planned.step.node.clone()).or_default().insert(at);
            pending.steps.insert(at, planned.clone());
        }
        pending
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether none is pending.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step with this id.
    pub fn get(&self, step: &StepId) -> Option<&PlannedStep> {
        self.steps.get(self.places.get(step)?)
    }

    /// The first step of a node.
    pub fn first_of(&self, node: &NodeName) -> Option<&PlannedStep> {
        self.steps.get(self.of_node.get(node)?.first()?)
    }

    /// The first, in the order of the plan, that a step waits for.
    pub fn first_before(&self, step: &PlannedStep) -> Option<&PlannedStep> {
        let before = step.after.iter().filter_map(|id| self.places.get(id));
        self.steps.get(before.min()?)
    }

    /// Removes a step that has ended.
    pub fn remove(&mut self, step: &StepId) {
        if let Some(at) = self.places.remove(step) {
            self.steps.remove(&at);
            self.of_node.get_mut(&step.node).map(|places| places.remove(&at));
        }
    }
}
