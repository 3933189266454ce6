//! Carries one plan out: the engine says what to send, this follows each order and tells the engine
//! what came of it. Deadlines, further attempts and Ctrl-C are decided here.

mod awaited;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_proto::{Event, Finding, NodeName, OperationId, StepId, Term};

use self::awaited::Awaited;
use super::Over;
use super::alarms::Alarms;
use super::attempt::{Attempt, Next, mends};
use super::effect::{Call, Goals, Input, Material, Order, Turn};
use crate::engine::{self, Dispatch, Engine};
use crate::plan::{Plan, Step};
use crate::run::RunEvent;

/// Attempts at a step whose failure may mend itself. With the pauses between them, a package
/// database that is locked for half a minute is waited for.
const ATTEMPTS: u32 = 3;
/// Before the second attempt, and as much longer before each further one.
const PAUSE_MS: u64 = 10_000;
/// A step that takes this many times what it should is left to itself.
const GRACE: u64 = 3;

/// How a plan was left.
#[derive(Debug)]
pub(super) enum RoundEnd {
    /// The engine has no more to do.
    Idle(engine::Outcome),
    /// The run ends here.
    Over(Over),
}

/// One plan on its way. Steps go by their places in it.
#[derive(Debug, Clone)]
pub(super) struct Round {
    plan: Arc<Plan>,
    term: Term,
    engine: Engine,
    attempts: BTreeMap<usize, Attempt>,
    retries: BTreeMap<usize, Retry>,
    awaited: BTreeMap<NodeName, Awaited>,
    /// What each call that is not over is for.
    callers: BTreeMap<Call, Caller>,
    alarms: Alarms<Alarm>,
    interrupted: bool,
    /// Why the run ends with this round, as soon as it does.
    over: Option<Over>,
    /// Steps that do not hold yet.
    left: usize,
    /// Nodes that answered the look before, and were not lost since.
    pub(super) answering: BTreeSet<NodeName>,
}

/// A step that gets another attempt.
#[derive(Debug, Clone)]
struct Retry {
    number: u32,
    /// What stays true if there is none after all.
    ended: Event,
}

#[derive(Debug, Clone)]
enum Caller {
    Attempt(usize),
    Awaited(NodeName),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Overdue(usize),
    /// A node whose connection broke is asked again.
    Ask(usize),
    Retry(usize),
    Look(NodeName),
}

impl Round {
    /// Sends the first orders. `answering`: the nodes that answered the look before.
    pub(super) fn start(
        plan: Arc<Plan>,
        term: Term,
        answering: BTreeSet<NodeName>,
        turn: &mut Turn<'_>,
    ) -> (Self, Option<RoundEnd>) {
        let (engine, dispatches) = Engine::start(&plan);
        let mut round = Self {
            left: plan.steps.len(),
            plan,
            term,
            engine,
            attempts: BTreeMap::new(),
            retries: BTreeMap::new(),
            awaited: BTreeMap::new(),
            callers: BTreeMap::new(),
            alarms: Alarms::none(),
            interrupted: false,
            over: None,
            answering,
        };
        round.dispatch(dispatches, turn);
        let end = round.end();
        (round, end)
    }

    /// Takes what happened; returns how the plan was left once it is.
    pub(super) fn handle(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<RoundEnd> {
        match input {
            Input::Interrupted => self.interrupt(turn),
            Input::TimePassed => {
                while let Some(alarm) = self.alarms.take_due(turn.now_ms) {
                    self.due(alarm, turn);
                }
            }
            Input::Told { call, event } => self.told(call, event, turn),
            Input::Described { call, answer } => match self.callers.remove(&call)? {
                Caller::Awaited(node) => self.looked(node, answer, turn),
                Caller::Attempt(at) => {
                    let attempt = self.attempts.get_mut(&at)?;
                    let next = match answer {
                        Ok(described) => attempt.described(*described.facts),
                        Err(error) => attempt.failed(error),
                    };
                    self.proceed(at, next, turn);
                }
            },
            Input::Checked { call, answer } => {
                let Caller::Attempt(at) = self.callers.remove(&call)? else { return None };
                let next = match answer {
                    Ok(findings) => Attempt::checked(&findings),
                    Err(error) => self.attempts.get_mut(&at)?.failed(error),
                };
                self.proceed(at, next, turn);
            }
            Input::Closed { call, result } => {
                let Caller::Attempt(at) = self.callers.remove(&call)? else { return None };
                let next = self.attempts.get_mut(&at)?.closed(result);
                self.proceed(at, next, turn);
            }
        }
        self.end()
    }

    pub(super) fn wake_at(&self) -> Option<u64> {
        self.alarms.next()
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Nothing that is still told counts any more.
    pub(super) fn hang_up(&self, turn: &mut Turn<'_>) {
        self.callers.keys().for_each(|call| turn.hang_up(*call));
    }

    fn end(&mut self) -> Option<RoundEnd> {
        if let Some(over) = self.over.take() {
            return Some(RoundEnd::Over(over));
        }
        let outcome = self.engine.outcome()?;
        Some(if outcome.cancelled { RoundEnd::Over(self.leave()) } else { RoundEnd::Idle(outcome) })
    }

    /// After Ctrl-C: what runs continues at the nodes.
    fn leave(&self) -> Over {
        let running = self.attempts.keys().filter_map(|at| self.step(*at));
        let mut running: Vec<StepId> = running.map(|step| step.id.clone()).collect();
        running.sort();
        Over::Interrupted { left: self.left, running }
    }

    fn feed(&mut self, input: engine::Input, turn: &mut Turn<'_>) {
        let dispatches = self.engine.handle(input);
        self.dispatch(dispatches, turn);
    }

    /// Records all orders, then sends them.
    fn dispatch(&mut self, dispatches: Vec<Dispatch>, turn: &mut Turn<'_>) {
        let mut begun = Vec::new();
        for dispatch in dispatches {
            match dispatch {
                Dispatch::Ensure { step } => {
                    let at = self.engine.find(&step);
                    begun.extend(at.filter(|at| self.begin(*at, 1, turn)));
                }
                Dispatch::Attach { step, operation } => {
                    begun.extend(self.attach(&step, operation, turn));
                }
                Dispatch::Await { node, operation } => self.wait(node, operation, turn),
            }
        }
        for at in begun {
            self.proceed(at, Next::Send, turn);
        }
    }

    /// Whether the step has a new attempt now.
    fn begin(&mut self, at: usize, number: u32, turn: &mut Turn<'_>) -> bool {
        let Some(step) = self.step(at) else { return false };
        let operation = turn.new_operation();
        turn.record(RunEvent::Dispatched {
            step: step.id.clone(),
            operation: operation.clone(),
            doing: step.goal.doing(),
            done: step.goal.done(),
        });
        self.follow(at, Attempt::new(operation, number, turn.now_ms));
        true
    }

    fn attach(
        &mut self,
        id: &StepId,
        operation: OperationId,
        turn: &mut Turn<'_>,
    ) -> Option<usize> {
        let at = self.engine.find(id)?;
        let doing = self.step(at)?.goal.doing();
        let by = self.plan.under_way.get(&id.node).map(|known| known.term.clone());
        let (step, followed) = (id.clone(), operation.clone());
        turn.record(RunEvent::Followed { step, operation: followed, by, doing });
        self.follow(at, Attempt::new(operation, 1, turn.now_ms));
        Some(at)
    }

    fn follow(&mut self, at: usize, attempt: Attempt) {
        let overdue_ms = attempt.since_ms.saturating_add(self.deadline_ms(at));
        self.attempts.insert(at, attempt);
        self.alarms.set(Alarm::Overdue(at), overdue_ms);
    }

    fn deadline_ms(&self, at: usize) -> u64 {
        self.step(at).map_or(0, |step| step.deadline_s.saturating_mul(1_000))
    }

    fn told(&mut self, call: Call, event: Event, turn: &mut Turn<'_>) {
        let Some(Caller::Attempt(at)) = self.callers.get(&call) else { return };
        let at = *at;
        if let Event::Ended { .. } = event {
            self.callers.remove(&call);
            self.proceed(at, Next::Ended(event), turn);
        } else if let Some(step) = self.step(at) {
            turn.record(RunEvent::Told { step: step.id.clone(), event });
        }
    }

    fn proceed(&mut self, at: usize, next: Next, turn: &mut Turn<'_>) {
        let (Some(step), Some(attempt)) = (self.step(at), self.attempts.get(&at)) else { return };
        let id = step.id.clone();
        let call = match next {
            Next::Send => turn.send(Order {
                step: id,
                goal: step.goal.clone(),
                operation: attempt.operation.clone(),
                term: self.term.clone(),
                material: Material::of(step),
            }),
            Next::Describe => turn.describe(id.node, None),
            Next::Check => turn.check(id.node, Goals::of_step(Arc::clone(&self.plan), at)),
            Next::Pause { ms, why } => {
                turn.record(RunEvent::Broken { step: id, why });
                return self.alarms.set(Alarm::Ask(at), turn.now_ms + ms);
            }
            Next::Ended(event) => return self.ended(at, event, turn),
            Next::Lost(why) => {
                self.close(at);
                return self.lost(id, why, turn);
            }
            Next::Busy { operation, goal } => {
                self.close(at);
                let why = format!("the node is at {goal}");
                turn.record(RunEvent::NotTaken { step: id.clone(), why });
                return self.feed(engine::Input::Busy { step: id, operation, goal }, turn);
            }
            Next::Superseded(by) => {
                self.over = Some(Over::Superseded { node: id.node, by });
                return;
            }
        };
        self.callers.insert(call, Caller::Attempt(at));
    }

    fn close(&mut self, at: usize) -> Option<Attempt> {
        self.alarms.cancel(&Alarm::Overdue(at));
        self.attempts.remove(&at)
    }

    fn lost(&mut self, step: StepId, why: String, turn: &mut Turn<'_>) {
        let node = step.node.clone();
        self.answering.remove(&node);
        turn.record(RunEvent::Lost { step, why });
        self.feed(engine::Input::Lost { node }, turn);
    }

    /// The engine learns of the last attempt alone.
    fn ended(&mut self, at: usize, ended: Event, turn: &mut Turn<'_>) {
        let number = self.close(at).map_or(1, |attempt| attempt.number);
        let again = mends(&ended).filter(|_| number < ATTEMPTS && !self.interrupted);
        if let (Some(why), Some(step)) = (again, self.step(at)) {
            let step = step.id.clone();
            self.retries.insert(at, Retry { number: number + 1, ended });
            self.alarms.set(Alarm::Retry(at), turn.now_ms + PAUSE_MS * u64::from(number));
            return turn.record(RunEvent::Retrying { step, attempt: number + 1, why });
        }
        self.finish(at, ended, turn);
    }

    fn finish(&mut self, at: usize, ended: Event, turn: &mut Turn<'_>) {
        let Some(step) = self.step(at).map(|step| step.id.clone()) else { return };
        let finding = match &ended {
            Event::Ended { finding, .. } => finding.clone(),
            Event::Started { .. } | Event::Activity(_) | Event::Output { .. } => {
                Finding::Unknown { why: "the operation did not end".to_owned() }
            }
        };
        self.left -= usize::from(finding.is_satisfied());
        turn.record(RunEvent::Told { step: step.clone(), event: ended });
        self.feed(engine::Input::Ended { step, finding }, turn);
    }

    fn interrupt(&mut self, turn: &mut Turn<'_>) {
        if std::mem::replace(&mut self.interrupted, true) {
            self.over = Some(self.leave());
            return;
        }
        turn.record(RunEvent::Interrupted);
        self.feed(engine::Input::Cancel, turn);
        for (at, retry) in std::mem::take(&mut self.retries) {
            self.alarms.cancel(&Alarm::Retry(at));
            self.finish(at, retry.ended, turn);
        }
    }

    fn due(&mut self, alarm: Alarm, turn: &mut Turn<'_>) {
        match alarm {
            Alarm::Overdue(at) => self.overdue(at, turn),
            Alarm::Ask(at) => self.proceed(at, Next::Describe, turn),
            Alarm::Retry(at) => {
                let number = self.retries.remove(&at).map(|retry| retry.number);
                if number.is_some_and(|number| self.begin(at, number, turn)) {
                    // What failed may hold by now.
                    self.proceed(at, Next::Describe, turn);
                }
            }
            Alarm::Look(node) => self.look(node, turn),
        }
    }

    fn overdue(&mut self, at: usize, turn: &mut Turn<'_>) {
        let deadline_ms = self.deadline_ms(at);
        let Some(step) = self.step(at).map(|step| step.id.clone()) else { return };
        let Some(attempt) = self.attempts.get_mut(&at) else { return };
        if std::mem::replace(&mut attempt.overdue, true) {
            return self.feed(engine::Input::TimedOut { step }, turn);
        }
        let last_ms = attempt.since_ms.saturating_add(deadline_ms.saturating_mul(GRACE));
        self.alarms.set(Alarm::Overdue(at), last_ms);
        turn.record(RunEvent::Overdue { step, seconds: deadline_ms / 1_000 });
    }

    fn step(&self, at: usize) -> Option<&Step> {
        self.plan.steps.get(at).map(|left| &left.step)
    }
}
