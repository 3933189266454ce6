//! One run of a procedure as a value: takes what happened and the time, returns what to do next. No
//! clock, no task, no I/O: the driver and the simulation carry the same machine out.
//!
//! `look` sees what is pending, `round` carries one plan out, `attempt` follows one order, `survey`
//! puts answers together, `effect` is what a machine asks for.

mod alarms;
mod attempt;
mod effect;
mod look;
mod round;
mod survey;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use effect::{Call, Effect, Goals, Input, Material, Order, Turn};
pub use look::{Look, Planner, Seen, Target};
use quorate_proto::{NodeName, OperationId, RunId, StepId, Term};
pub use survey::{Barred, Checked, Checks, Described, Drawn, Survey};

use self::round::{Round, RoundEnd};
use crate::engine;
use crate::plan::{Observed, Plan};
use crate::run::{Outcome, PlannedStep, RunEvent};

/// A run that has its term.
#[derive(Debug, Clone)]
pub struct Machine {
    target: Arc<Target>,
    term: Term,
    phase: Phase,
    progress: Progress,
    interrupted: bool,
    /// Calls that were made so far.
    calls: u64,
}

#[derive(Debug, Clone)]
enum Phase {
    Looking(Box<Look>),
    Working(Box<Round>),
    Over(Over),
}

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// All that the procedure asks for holds.
    Holds,
    /// Steps failed.
    NotDone { ended: engine::Outcome, withheld: Vec<StepId> },
    /// Looking again does not bring it further.
    Stalled { left: Vec<StepId>, withheld: Vec<StepId> },
    /// What is left must not be begun.
    Blocked(Barred),
    /// A node obeys a newer run.
    Superseded { node: NodeName, by: Term },
    /// Ctrl-C. `running` continues at the nodes.
    Interrupted { left: usize, running: Vec<StepId> },
}

impl Over {
    /// The same as it is recorded.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Holds => Outcome::Holds,
            Self::NotDone { ended, withheld } => {
                let failed = ended.failed.iter().map(|(step, _)| step);
                let left = failed.chain(&ended.adrift).chain(&ended.unstarted);
                Outcome::Failed { left: left.chain(withheld).cloned().collect() }
            }
            Self::Stalled { left, withheld } => {
                Outcome::Failed { left: left.iter().chain(withheld).cloned().collect() }
            }
            Self::Blocked(barred) => Outcome::Blocked { reasons: barred.reasons() },
            Self::Superseded { node, by } => {
                Outcome::Superseded { node: node.clone(), by: by.clone() }
            }
            Self::Interrupted { left, running } => {
                Outcome::Interrupted { left: *left, running: running.clone() }
            }
        }
    }
}

impl Machine {
    /// Begins with what a look without a claim has drawn up. Orders of an earlier run may still be
    /// on their way, so that only a look that claims the nodes is a ground to act on; where nothing
    /// is to do no node need be claimed.
    pub fn start(
        target: Arc<Target>,
        term: Term,
        first: Drawn,
        now_ms: u64,
    ) -> (Self, Vec<Effect>) {
        // A look needs no ids.
        let mut no_operation = || OperationId(String::new());
        let mut turn = Turn::new(now_ms, 0, &mut no_operation);
        let (progress, interrupted) = (Progress::default(), false);
        let phase = Phase::Over(Over::Holds);
        let mut machine = Self { target, term, phase, progress, interrupted, calls: 0 };
        if first.plan.is_complete() {
            machine.drawn(first, BTreeSet::new(), &mut turn);
        } else {
            machine.look(survey::answering(&first.observed), &mut turn);
        }
        machine.calls = turn.calls;
        (machine, turn.effects)
    }

    /// Takes what happened at this time, in milliseconds since the run began, and returns what to
    /// do next, in this order. `new_operation` gives an id that no operation had before.
    pub fn handle(
        &mut self,
        now_ms: u64,
        input: Input,
        new_operation: &mut dyn FnMut() -> OperationId,
    ) -> Vec<Effect> {
        self.interrupted |= matches!(input, Input::Interrupted);
        let mut turn = Turn::new(now_ms, self.calls, new_operation);
        match &mut self.phase {
            Phase::Looking(look) => {
                if let Some(seen) = look.handle(input, self.interrupted, &mut turn) {
                    let answering = look.take_answering();
                    self.seen(seen, answering, &mut turn);
                }
            }
            Phase::Working(round) => {
                let end = round.handle(input, &mut turn);
                self.round_over(end, &mut turn);
            }
            Phase::Over(_) => {}
        }
        self.calls = turn.calls;
        turn.effects
    }

    /// The time, in milliseconds since the run began, at which it wants an `Input::TimePassed`.
    pub fn wake_at(&self) -> Option<u64> {
        match &self.phase {
            Phase::Looking(look) => look.wake_at(),
            Phase::Working(round) => round.wake_at(),
            Phase::Over(_) => None,
        }
    }

    /// Why the run is over; `None` while it is not.
    pub fn over(&self) -> Option<&Over> {
        match &self.phase {
            Phase::Over(over) => Some(over),
            Phase::Looking(_) | Phase::Working(_) => None,
        }
    }

    fn seen(&mut self, seen: Seen, answering: BTreeSet<NodeName>, turn: &mut Turn<'_>) {
        match seen {
            Seen::Superseded { node, by } => {
                self.phase = Phase::Over(Over::Superseded { node, by });
            }
            Seen::Barred(barred) => self.phase = Phase::Over(Over::Blocked(barred)),
            Seen::Drawn(drawn) => self.drawn(*drawn, answering, turn),
        }
    }

    fn drawn(&mut self, drawn: Drawn, answering: BTreeSet<NodeName>, turn: &mut Turn<'_>) {
        let Drawn { observed, plan, .. } = drawn;
        let silent = survey::silent(&observed, |_| true);
        turn.record(RunEvent::Planned { left: planned(&plan), silent });
        let over = if plan.is_complete() {
            Some(Over::Holds)
        } else if !self.progress.is_made(&plan) {
            let left = plan.steps.iter().map(|left| left.step.id.clone()).collect();
            Some(Over::Stalled { left, withheld: withheld(&plan) })
        } else if self.interrupted {
            Some(Over::Interrupted { left: plan.steps.len(), running: Vec::new() })
        } else {
            None
        };
        if let Some(over) = over {
            self.phase = Phase::Over(over);
            return;
        }
        let (round, end) = Round::start(Arc::new(plan), self.term.clone(), answering, turn);
        self.phase = Phase::Working(Box::new(round));
        self.round_over(end, turn);
    }

    /// Once nothing more can be done all is looked at again, unless something failed.
    fn round_over(&mut self, end: Option<RoundEnd>, turn: &mut Turn<'_>) {
        let (Some(end), Phase::Working(round)) = (end, &mut self.phase) else { return };
        round.hang_up(turn);
        self.phase = match end {
            RoundEnd::Over(over) => Phase::Over(over),
            RoundEnd::Idle(ended) if ended.failed.is_empty() => {
                let expected = std::mem::take(&mut round.answering);
                return self.look(expected, turn);
            }
            RoundEnd::Idle(ended) => {
                Phase::Over(Over::NotDone { ended, withheld: withheld(round.plan()) })
            }
        };
    }

    /// A node of `expected` that does not answer is waited for.
    fn look(&mut self, expected: BTreeSet<NodeName>, turn: &mut Turn<'_>) {
        let (target, claim) = (Arc::clone(&self.target), Some(self.term.clone()));
        self.phase = Phase::Looking(Box::new(Look::begin(target, claim, expected, turn)));
    }
}

/// Tells a run that makes progress from one that would continue forever.
#[derive(Debug, Clone, Default)]
struct Progress {
    before: Option<Vec<StepId>>,
    stalled: u32,
}

impl Progress {
    /// A lost node may be back, and its operation over, with nothing else changed: so one round
    /// may bring nothing, and a second one not.
    fn is_made(&mut self, plan: &Plan) -> bool {
        if plan.steps.is_empty() && plan.under_way.is_empty() {
            return false;
        }
        let left: Vec<StepId> = plan.steps.iter().map(|left| left.step.id.clone()).collect();
        let same = self.before.as_ref() == Some(&left);
        self.stalled = if same { self.stalled + 1 } else { 0 };
        self.before = Some(left);
        self.stalled < 2
    }
}

/// Returns a term higher than `ours`, the newest of the state folder, and than any that a node obeys.
///
/// # Errors
/// A node whose term is so high that counting on from there would have all other nodes refuse this
/// run, and the next ones.
pub fn next_term(ours: u64, observed: &Observed, run: &RunId) -> Result<Term, (NodeName, Term)> {
    let mut newest = ours;
    for facts in observed.nodes.keys().filter_map(|node| observed.facts(node)) {
        if facts.term.is_out_of_reach(ours) {
            return Err((facts.node.clone(), facts.term.clone()));
        }
        newest = newest.max(facts.term.number);
    }
    Ok(Term { number: newest.saturating_add(1), run: run.clone() })
}

fn planned(plan: &Plan) -> Vec<PlannedStep> {
    let planned = plan.steps.iter().map(|left| PlannedStep {
        step: left.step.id.clone(),
        doing: left.step.goal.doing(),
        after: left.step.after.clone(),
        lane: left.step.lane.clone(),
    });
    planned.collect()
}

fn withheld(plan: &Plan) -> Vec<StepId> {
    plan.withheld.iter().map(|withheld| withheld.step.clone()).collect()
}
