//! Carries a plan out: takes what happened, returns what to do next. A value: no clock, no task, no
//! I/O.
//!
//! The driver sends what the engine dispatches and reports what came of it. Of all steps that could
//! start, those first in the plan do. An event costs what it changes, not what the plan holds.

mod graph;
mod ready;

use std::sync::Arc;

use quorate_proto::{Finding, GoalId, NodeName, OperationId, StepId};

use self::graph::Graph;
use self::ready::{Availability, Ready};
use crate::plan::{Holder, Lane, Plan};

/// A run of a plan.
#[derive(Debug, Clone)]
pub struct Engine {
    graph: Arc<Graph>,
    steps: Vec<Tracked>,
    ready: Ready,
    /// Steps that run.
    running: usize,
    cancelled: bool,
}

/// What the driver is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dispatch {
    /// Send the order for this step; report `Ended`, `Busy`, `Lost` or `TimedOut`.
    Ensure { step: StepId },
    /// The node is at this step already: send the order with this operation's id, and follow it.
    Attach { step: StepId, operation: OperationId },
    /// The node is at something that this plan does not ask for: report `Freed` once that is over,
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
    /// The step takes longer than it may. It is not known whether it will end.
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

/// What changes of a step while the plan is carried out.
#[derive(Debug, Clone)]
struct Tracked {
    state: State,
    /// Steps before it that are not over yet, as far as it needs them over.
    unmet: usize,
    /// It will not start in this run, as one that it waits for has failed.
    doomed: bool,
    /// Its node was at it already: what comes of it is another run's attempt.
    attached: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Adrift,
    Done,
    Failed(Finding),
}

impl Engine {
    /// Starts a plan, from the operations that are under way.
    pub fn start(plan: &Plan) -> (Self, Vec<Dispatch>) {
        let graph = Graph::of(plan);
        let tracked =
            |unmet| Tracked { state: State::Waiting, unmet, doomed: false, attached: false };
        let steps: Vec<_> = graph.steps.iter().map(|step| tracked(step.after.len())).collect();
        let ready = Ready::of(&graph);
        let mut engine =
            Self { graph: Arc::new(graph), steps, ready, running: 0, cancelled: false };
        let mut orders = Vec::new();
        for (node, operation) in &plan.under_way {
            let step = StepId { node: node.clone(), goal: operation.goal.clone() };
            let operation = operation.operation.clone();
            // What another run offers lets nobody join by this run's material.
            let of_use = |at: &usize| engine.graph.step(*at).is_some_and(|step| !step.of_one_run);
            orders.push(match engine.find(&step).filter(of_use) {
                Some(at) => {
                    engine.attach(at);
                    Dispatch::Attach { step, operation }
                }
                None => {
                    engine.mark(node, Availability::Awaited);
                    Dispatch::Await { node: node.clone(), operation }
                }
            });
        }
        for slot in &plan.held {
            let Some(node) = engine.graph.node(&slot.node) else { continue };
            // A step that is attached to counts by itself.
            let counted = slot.by == Holder::Operation && engine.ready.is(node, Availability::Busy);
            if let Some(lane) = engine.graph.lane(&slot.lane).filter(|_| !counted) {
                engine.ready.hold(node, lane);
            }
        }
        for at in 0..engine.steps.len() {
            engine.offer(at);
        }
        orders.extend(engine.dispatch());
        (engine, orders)
    }

    /// Takes what happened, and returns what to do next.
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
        let awaited = !self.cancelled && self.ready.awaits();
        if self.running > 0 || awaited {
            return None;
        }
        let mut outcome = Outcome { cancelled: self.cancelled, ..Outcome::default() };
        for (step, tracked) in self.graph.steps.iter().zip(&self.steps) {
            let id = step.id.clone();
            match &tracked.state {
                State::Done => outcome.done.push(id),
                State::Failed(finding) => outcome.failed.push((id, finding.clone())),
                State::Running | State::Adrift => outcome.adrift.push(id),
                State::Waiting => outcome.unstarted.push(id),
            }
        }
        Some(outcome)
    }

    /// Where in the plan a step is.
    pub fn find(&self, step: &StepId) -> Option<usize> {
        self.graph.places.get(step).copied()
    }

    /// An attempt of another run that failed, such as with a token that was withdrawn since, is
    /// followed by one of this run, in its place.
    fn ended(&mut self, step: &StepId, finding: Finding) -> Option<Dispatch> {
        let at = self.find(step)?;
        let running = self.is(at, &State::Running);
        if !running && !self.is(at, &State::Adrift) {
            return None;
        }
        let done = finding.is_satisfied();
        let attached = std::mem::take(&mut self.steps.get_mut(at)?.attached);
        if attached && running && !self.cancelled && !done {
            return Some(Dispatch::Ensure { step: step.clone() });
        }
        self.leave(at, if done { State::Done } else { State::Failed(finding) });
        self.mark(&step.node, Availability::Free);
        if done {
            self.satisfied(at);
        } else {
            self.failed(at);
        }
        None
    }

    fn busy(&mut self, step: &StepId, operation: OperationId, goal: GoalId) -> Option<Dispatch> {
        let at = self.find(step).filter(|at| self.is(*at, &State::Running))?;
        self.leave(at, State::Waiting);
        let node = step.node.clone();
        self.mark(&node, Availability::Awaited);
        self.reconsider(at);
        let other = self.find(&StepId { node: node.clone(), goal });
        if let Some(other) = other.and_then(|other| self.graph.step(other)) {
            self.ready.hold(other.node, other.lane);
        }
        Some(Dispatch::Await { node, operation })
    }

    fn freed(&mut self, node: &NodeName) {
        if let Some(at) =
            self.graph.node(node).filter(|at| self.ready.is(*at, Availability::Awaited))
        {
            self.ready.release(at);
            self.ready.mark(at, Availability::Free);
        }
    }

    /// Its steps keep their places: they may be running still.
    fn lost(&mut self, node: &NodeName) {
        let Some(of) = self.graph.node(node) else { return };
        self.ready.mark(of, Availability::Lost);
        if let Some(at) = self.ready.begun(of)
            && let Some(tracked) = self.steps.get_mut(at)
            && tracked.state == State::Running
        {
            tracked.state = State::Adrift;
            self.running -= 1;
        }
    }

    fn dispatch(&mut self) -> Vec<Dispatch> {
        let mut orders = Vec::new();
        while let Some(at) = self.ready.first().filter(|_| !self.cancelled) {
            let Some(step) = self.graph.step(at) else { break };
            orders.push(Dispatch::Ensure { step: step.id.clone() });
            self.begin(at);
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
        let graph = Arc::clone(&self.graph);
        let (Some(step), Some(tracked)) = (graph.step(at), self.steps.get_mut(at)) else { return };
        tracked.state = State::Running;
        self.running += 1;
        self.ready.begin(step, at);
    }

    /// The step runs no longer.
    fn leave(&mut self, at: usize, to: State) {
        let graph = Arc::clone(&self.graph);
        let (Some(step), Some(tracked)) = (graph.step(at), self.steps.get_mut(at)) else { return };
        self.running -= usize::from(tracked.state == State::Running);
        tracked.state = to;
        self.ready.end(step);
    }

    fn mark(&mut self, node: &NodeName, availability: Availability) {
        if let Some(at) = self.graph.node(node) {
            self.ready.mark(at, availability);
        }
    }

    fn satisfied(&mut self, at: usize) {
        let graph = Arc::clone(&self.graph);
        for next in graph.next(at) {
            self.met(*next);
        }
    }

    /// What waits for it never starts, unless it clears away. A change of the membership that failed
    /// may have left half a member: no other may begin before the next plan has looked.
    fn failed(&mut self, at: usize) {
        let graph = Arc::clone(&self.graph);
        let mut over = vec![at];
        let membership = graph.lane(&Lane::Membership);
        if let Some(lane) =
            membership.filter(|lane| graph.step(at).is_some_and(|it| it.lane == *lane))
        {
            self.ready.close(lane);
            over.extend(graph.in_lane(lane).filter(|at| self.doom(*at)));
        }
        self.propagate(over);
    }

    /// Each of these is over without its goal holding: what waits for it is doomed, or, where it
    /// clears away, need not wait for it any longer.
    fn propagate(&mut self, mut over: Vec<usize>) {
        let graph = Arc::clone(&self.graph);
        while let Some(at) = over.pop() {
            for next in graph.next(at) {
                if graph.step(*next).is_some_and(|step| step.clears) {
                    self.met(*next);
                } else if self.doom(*next) {
                    over.push(*next);
                }
            }
        }
    }

    /// Whether it is doomed by this, and was not before.
    fn doom(&mut self, at: usize) -> bool {
        let clears = self.graph.step(at).is_none_or(|step| step.clears);
        let waiting = |step: &&mut Tracked| step.state == State::Waiting && !step.doomed;
        let Some(step) = self.steps.get_mut(at).filter(waiting).filter(|_| !clears) else {
            return false;
        };
        step.doomed = true;
        true
    }

    /// A step that was refused waits again, and what happened meanwhile holds for it too.
    fn reconsider(&mut self, at: usize) {
        let graph = Arc::clone(&self.graph);
        let Some(step) = graph.step(at) else { return };
        let lost = step.after.iter().filter_map(|before| self.steps.get(*before));
        let lost = lost.into_iter().any(|it| it.doomed || matches!(it.state, State::Failed(_)));
        if (lost || self.ready.is_closed(step.lane)) && self.doom(at) {
            self.propagate(vec![at]);
        }
        self.offer(at);
    }

    fn met(&mut self, at: usize) {
        if let Some(step) = self.steps.get_mut(at) {
            step.unmet = step.unmet.saturating_sub(1);
        }
        self.offer(at);
    }

    /// The step may start as soon as its node and its lane let it.
    fn offer(&mut self, at: usize) {
        let waits =
            |step: &Tracked| step.state == State::Waiting && step.unmet == 0 && !step.doomed;
        if let Some(step) = self.graph.step(at)
            && self.steps.get(at).is_some_and(waits)
        {
            self.ready.add(step, at);
        }
    }

    fn is(&self, at: usize, state: &State) -> bool {
        self.steps.get(at).is_some_and(|step| step.state == *state)
    }
}

#[cfg(test)]
mod tests;
