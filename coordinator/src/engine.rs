//! Carries a plan out: told what happened, says what to do next. A value: no clock, no task, no I/O.
//!
//! The driver sends what the engine dispatches and tells it what came of it. Of all steps that
//! could start, those first in the plan do.

use std::collections::BTreeMap;

use quorate_proto::{Finding, GoalId, NodeName, OperationId, StepId};

use crate::plan::{Holder, Lane, Plan};

/// A run of a plan.
#[derive(Debug, Clone)]
pub struct Engine {
    steps: Vec<Tracked>,
    nodes: BTreeMap<NodeName, Node>,
    /// Places in lanes that others than this run's steps have.
    held: Vec<(NodeName, Lane)>,
    cancelled: bool,
}

/// What the driver is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// Send the order for this step; tell `Ended`, `Busy`, `Lost` or `TimedOut`.
    Ensure { step: StepId },
    /// The node is at this step already: send the order with this operation's id, and follow it.
    Attach { step: StepId, operation: OperationId },
    /// The node is at something that this plan does not ask for: tell `Freed` once that is over,
    /// or `Lost`.
    Await { node: NodeName, operation: OperationId },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The operation is over, and the node has checked the goal.
    Ended { step: StepId, finding: Finding },
    /// The node did not take the order: it is at another operation, of the goal with this id.
    Busy { step: StepId, operation: OperationId, goal: GoalId },
    /// The operation that was awaited is over.
    Freed { node: NodeName },
    /// The node does not answer any more. If it was at a step it may be at it still.
    Lost { node: NodeName },
    /// The step takes longer than it may. Nobody knows whether it will end.
    TimedOut { step: StepId },
    /// No further order is to be sent.
    Cancel,
}

/// What became of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub done: Vec<StepId>,
    /// With what was found after the attempt.
    pub failed: Vec<(StepId, Finding)>,
    /// Begun, and then their node was lost or they took too long: they may still be running.
    pub adrift: Vec<StepId>,
    /// They waited for a step that failed, for a place that was never free, or for a lost node.
    pub unstarted: Vec<StepId>,
    pub cancelled: bool,
}

impl Outcome {
    /// Whether every step holds.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.adrift.is_empty() && self.unstarted.is_empty()
    }
}

/// What a step that has not started waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    Step(StepId),
    /// Its node is at something else.
    Node,
    /// All places of its lane are taken.
    Lane(Lane),
}

#[derive(Debug, Clone)]
struct Tracked {
    id: StepId,
    lane: Lane,
    after: Vec<usize>,
    clears: bool,
    /// Of no use to a run that did not order it.
    of_one_run: bool,
    /// Its node was at it already: what comes of it is another run's attempt.
    attached: bool,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Adrift,
    Done,
    Failed(Finding),
}

/// What is known of a node that is not simply free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    /// At a step of this plan.
    Busy,
    /// At something else, which the driver awaits.
    Awaited,
    /// Does not answer.
    Lost,
}

impl Engine {
    /// Starts a plan, from the operations that are under way.
    pub fn start(plan: &Plan) -> (Self, Vec<Dispatch>) {
        let places: BTreeMap<&StepId, usize> =
            plan.steps.iter().enumerate().map(|(at, left)| (&left.step.id, at)).collect();
        let steps = plan.steps.iter().map(|left| Tracked {
            id: left.step.id.clone(),
            lane: left.step.lane.clone(),
            after: left.step.after.iter().filter_map(|id| places.get(id).copied()).collect(),
            clears: left.step.clears(),
            of_one_run: left.step.goal.is_of_one_run(),
            attached: false,
            state: State::Waiting,
        });
        let mut engine = Self {
            steps: steps.collect(),
            nodes: BTreeMap::new(),
            held: Vec::new(),
            cancelled: false,
        };
        let mut orders = Vec::new();
        for (node, operation) in &plan.under_way {
            let id = StepId { node: node.clone(), goal: operation.goal.clone() };
            let operation = operation.operation.clone();
            // What another run offers lets nobody join by this run's material.
            let of_use = |at: &usize| engine.steps.get(*at).is_some_and(|step| !step.of_one_run);
            orders.push(match engine.find(&id).filter(of_use) {
                Some(at) => {
                    engine.attach(at);
                    Dispatch::Attach { step: id, operation }
                }
                None => {
                    engine.nodes.insert(node.clone(), Node::Awaited);
                    Dispatch::Await { node: node.clone(), operation }
                }
            });
        }
        for slot in &plan.held {
            // A step that is attached to counts by itself.
            let counted =
                slot.by == Holder::Operation && engine.nodes.get(&slot.node) == Some(&Node::Busy);
            if !counted {
                engine.held.push((slot.node.clone(), slot.lane.clone()));
            }
        }
        orders.extend(engine.dispatch());
        (engine, orders)
    }

    /// Takes note of what happened, and says what to do next.
    pub fn handle(&mut self, input: Input) -> Vec<Dispatch> {
        let mut orders = Vec::new();
        match input {
            Input::Ended { step, finding } => orders.extend(self.ended(&step, finding)),
            Input::Busy { step, operation, goal } => {
                orders.extend(self.busy(&step, operation, goal));
            }
            Input::Freed { node } => self.freed(&node),
            Input::Lost { node } => self.lost(&node),
            Input::TimedOut { step } => {
                if self.find(&step).is_some_and(|at| self.is(at, &State::Running)) {
                    self.lost(&step.node);
                }
            }
            Input::Cancel => self.cancelled = true,
        }
        orders.extend(self.dispatch());
        orders
    }

    /// What became of the plan; `None` while something runs or is awaited.
    pub fn outcome(&self) -> Option<Outcome> {
        let running = self.steps.iter().any(|step| step.state == State::Running);
        let awaited = !self.cancelled && self.nodes.values().any(|node| *node == Node::Awaited);
        if running || awaited {
            return None;
        }
        let mut outcome = Outcome { cancelled: self.cancelled, ..Outcome::default() };
        for step in &self.steps {
            let id = step.id.clone();
            match &step.state {
                State::Done => outcome.done.push(id),
                State::Failed(finding) => outcome.failed.push((id, finding.clone())),
                State::Running | State::Adrift => outcome.adrift.push(id),
                State::Waiting => outcome.unstarted.push(id),
            }
        }
        Some(outcome)
    }

    /// The steps that run now.
    pub fn running(&self) -> impl Iterator<Item = &StepId> {
        self.steps.iter().filter(|step| step.state == State::Running).map(|step| &step.id)
    }

    /// What keeps a step from starting; nothing if it has started.
    pub fn waits_for(&self, step: &StepId) -> Vec<WaitsFor> {
        let Some(step) = self.find(step).and_then(|at| self.steps.get(at)) else {
            return Vec::new();
        };
        if step.state != State::Waiting {
            return Vec::new();
        }
        let before = step.after.iter().filter_map(|at| self.steps.get(*at));
        let mut waits: Vec<_> = before
            .filter(|before| before.state != State::Done)
            .map(|before| WaitsFor::Step(before.id.clone()))
            .collect();
        if self.nodes.contains_key(&step.id.node) {
            waits.push(WaitsFor::Node);
        }
        if waits.is_empty() && !self.has_place(&step.lane) {
            waits.push(WaitsFor::Lane(step.lane.clone()));
        }
        waits
    }

    /// An attempt of another run that failed, such as with a token that was withdrawn since, is
    /// followed by one of this run, in its place.
    fn ended(&mut self, step: &StepId, finding: Finding) -> Option<Dispatch> {
        let at = self.find(step)?;
        let open = self.is(at, &State::Running) || self.is(at, &State::Adrift);
        let again = self.is(at, &State::Running) && !self.cancelled;
        let tracked = self.steps.get_mut(at).filter(|_| open)?;
        let done = finding.is_satisfied();
        if std::mem::take(&mut tracked.attached) && again && !done {
            return Some(Dispatch::Ensure { step: step.clone() });
        }
        tracked.state = if done { State::Done } else { State::Failed(finding) };
        self.nodes.remove(&step.node);
        None
    }

    fn busy(&mut self, step: &StepId, operation: OperationId, goal: GoalId) -> Option<Dispatch> {
        let at = self.find(step).filter(|at| self.is(*at, &State::Running))?;
        self.steps.get_mut(at)?.state = State::Waiting;
        let node = step.node.clone();
        self.nodes.insert(node.clone(), Node::Awaited);
        let other = self.find(&StepId { node: node.clone(), goal });
        if let Some(other) = other.and_then(|at| self.steps.get(at)) {
            self.held.push((node.clone(), other.lane.clone()));
        }
        Some(Dispatch::Await { node, operation })
    }

    fn freed(&mut self, node: &NodeName) {
        if self.nodes.get(node) == Some(&Node::Awaited) {
            self.nodes.remove(node);
            self.held.retain(|(holder, _)| holder != node);
        }
    }

    /// Its steps keep their places: they may be running still.
    fn lost(&mut self, node: &NodeName) {
        self.nodes.insert(node.clone(), Node::Lost);
        for step in self.steps.iter_mut().filter(|step| step.id.node == *node) {
            if step.state == State::Running {
                step.state = State::Adrift;
            }
        }
    }

    fn dispatch(&mut self) -> Vec<Dispatch> {
        let mut orders = Vec::new();
        if self.cancelled {
            return orders;
        }
        let doomed = self.doomed();
        for at in 0..self.steps.len() {
            let Some(step) = self.steps.get(at) else { continue };
            let ready = step.state == State::Waiting && self.is_ready(step, &doomed);
            if ready && !self.nodes.contains_key(&step.id.node) && self.has_place(&step.lane) {
                orders.push(Dispatch::Ensure { step: step.id.clone() });
                self.begin(at);
            }
        }
        orders
    }

    fn attach(&mut self, at: usize) {
        self.begin(at);
        if let Some(step) = self.steps.get_mut(at) {
            step.attached = true;
        }
    }

    fn begin(&mut self, at: usize) {
        if let Some(step) = self.steps.get_mut(at) {
            step.state = State::Running;
            self.nodes.insert(step.id.node.clone(), Node::Busy);
        }
    }

    fn is_ready(&self, step: &Tracked, doomed: &[bool]) -> bool {
        step.after.iter().all(|at| match self.steps.get(*at).map(|before| &before.state) {
            Some(State::Done) | None => true,
            Some(State::Failed(_)) => step.clears,
            Some(State::Waiting) => step.clears && doomed.get(*at) == Some(&true),
            Some(State::Running | State::Adrift) => false,
        })
    }

    /// Steps that will not start in this run, as one that they wait for has failed.
    fn doomed(&self) -> Vec<bool> {
        let mut doomed: Vec<bool> = Vec::with_capacity(self.steps.len());
        if !self.steps.iter().any(|step| matches!(step.state, State::Failed(_))) {
            return doomed;
        }
        for step in &self.steps {
            let lost = step.after.iter().any(|at| {
                let failed = self.steps.get(*at).map(|before| &before.state);
                matches!(failed, Some(State::Failed(_))) || doomed.get(*at) == Some(&true)
            });
            let lost = lost || (step.lane == Lane::Membership && self.membership_is_closed());
            doomed.push(lost && !step.clears && step.state == State::Waiting);
        }
        doomed
    }

    fn has_place(&self, lane: &Lane) -> bool {
        let width = match lane {
            Lane::Free => return true,
            Lane::Membership if self.membership_is_closed() => 0,
            Lane::Membership => 1,
            Lane::WorkerJoins { width } => (*width).max(1),
        };
        let held = self.held.iter().filter(|(_, held)| held == lane).count();
        let taken = self.steps.iter().filter(|step| {
            step.lane == *lane && matches!(step.state, State::Running | State::Adrift)
        });
        held + taken.count() < width
    }

    /// A change that failed may have left half a member. No other may begin before the next plan
    /// has looked.
    fn membership_is_closed(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.lane == Lane::Membership && matches!(step.state, State::Failed(_)))
    }

    fn find(&self, id: &StepId) -> Option<usize> {
        self.steps.iter().position(|step| step.id == *id)
    }

    fn is(&self, at: usize, state: &State) -> bool {
        self.steps.get(at).is_some_and(|step| step.state == *state)
    }
}

#[cfg(test)]
mod tests;
