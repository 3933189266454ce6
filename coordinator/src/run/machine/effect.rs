//! What a machine is told, and what it asks for.

use std::sync::Arc;

use quorate_proto::{Event, Finding, Goal, NodeName, OperationId, StepId, Term};

use super::survey::Described;
use crate::fleet::FleetError;
use crate::plan::{Outline, Plan, Step};
use crate::run::RunEvent;

/// A call to a node; what comes of it carries the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(u64);

/// What happened. Of a call that nothing waits for any more it means nothing.
#[derive(Debug, Clone)]
pub enum Input {
    /// The answer to `Effect::Describe`.
    Described { call: Call, answer: Result<Described, FleetError> },
    /// The answer to `Effect::Check`.
    Checked { call: Call, answer: Result<Vec<Finding>, FleetError> },
    /// An event of the operation of `Effect::Send`, without secrets.
    Told { call: Call, event: Event },
    /// The stream of `Effect::Send` has ended or broken.
    Closed { call: Call, result: Result<(), FleetError> },
    /// Ctrl-C.
    Interrupted,
    /// The time is `Machine::wake_at` or later.
    TimePassed,
}

/// What to do next.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Ask a node what it is and holds. With a claim it obeys no older term afterwards.
    Describe { call: Call, node: NodeName, claim: Option<Term> },
    /// Ask a node whether these goals hold.
    Check { call: Call, node: NodeName, goals: Goals },
    /// Send an order, or attach to its operation. What is to be recorded is stored before.
    Send { call: Call, order: Box<Order> },
    /// Stop listening to a stream; the operation continues.
    HangUp { call: Call },
    /// Store this event, and show it. The run must not go on if that fails.
    Record(RunEvent),
}

/// An order, but for its secrets.
#[derive(Debug, Clone)]
pub struct Order {
    pub step: StepId,
    pub goal: Goal,
    pub operation: OperationId,
    pub term: Term,
    pub material: Material,
}

/// What a node needs to join that an order carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Material {
    None,
    /// Token and certificate key.
    Token,
    /// These, and the cluster's certificate authority.
    TokenAndAuthority,
}

impl Material {
    /// What the order for this step carries.
    pub(super) fn of(step: &Step) -> Self {
        if step.goal.is_of_one_run() {
            Self::Token
        } else if step.needs_material() {
            Self::TokenAndAuthority
        } else {
            Self::None
        }
    }
}

/// Goals of one node, where they are: each may hold all of a cluster's settings.
#[derive(Debug, Clone)]
pub struct Goals(Source);

#[derive(Debug, Clone)]
enum Source {
    Outline(Arc<Outline>, Arc<[usize]>),
    Plan(Arc<Plan>, usize),
}

impl Goals {
    pub(super) fn of_outline(outline: Arc<Outline>, at: Arc<[usize]>) -> Self {
        Self(Source::Outline(outline, at))
    }

    pub(super) fn of_step(plan: Arc<Plan>, at: usize) -> Self {
        Self(Source::Plan(plan, at))
    }

    /// The steps that ask for them, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        let (outline, one) = match &self.0 {
            Source::Outline(outline, at) => (Some((outline, at)), None),
            Source::Plan(plan, at) => (None, plan.steps.get(*at).map(|left| &left.step)),
        };
        let many = outline
            .into_iter()
            .flat_map(|(outline, at)| at.iter().filter_map(|at| outline.steps.get(*at)));
        many.chain(one)
    }
}

/// What comes with an input from outside, and where its effects go.
pub struct Turn<'a> {
    pub(super) now_ms: u64,
    pub(super) calls: u64,
    new_operation: &'a mut dyn FnMut() -> OperationId,
    pub effects: Vec<Effect>,
}

impl<'a> Turn<'a> {
    /// `calls` were made before it.
    pub fn new(now_ms: u64, calls: u64, new_operation: &'a mut dyn FnMut() -> OperationId) -> Self {
        Self { now_ms, calls, new_operation, effects: Vec::new() }
    }

    /// How many calls were made by now.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    pub(super) fn new_operation(&mut self) -> OperationId {
        (self.new_operation)()
    }

    pub(super) fn record(&mut self, event: RunEvent) {
        self.effects.push(Effect::Record(event));
    }

    pub(super) fn describe(&mut self, node: NodeName, claim: Option<Term>) -> Call {
        let call = self.call();
        self.effects.push(Effect::Describe { call, node, claim });
        call
    }

    pub(super) fn check(&mut self, node: NodeName, goals: Goals) -> Call {
        let call = self.call();
        self.effects.push(Effect::Check { call, node, goals });
        call
    }

    pub(super) fn send(&mut self, order: Order) -> Call {
        let call = self.call();
        self.effects.push(Effect::Send { call, order: Box::new(order) });
        call
    }

    pub(super) fn hang_up(&mut self, call: Call) {
        self.effects.push(Effect::HangUp { call });
    }

    fn call(&mut self) -> Call {
        self.calls += 1;
        Call(self.calls)
    }
}
