//! Carries one plan out: the engine says what to send, this sends it and tells the engine what came
//! of it. The only place that looks at the clock for deadlines and further attempts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::{Event, Failure, Finding, NodeName, OperationId, StepId};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::DriveError;
use super::order::{Begin, News, Orders};
use super::record::Record;
use crate::engine::{self, Dispatch, Engine, Input};
use crate::plan::{Plan, Step};
use crate::run::{Outcome, RunEvent};

/// Attempts at a step whose failure may mend itself. With the waits between them, a package
/// database that is locked for half a minute is waited for.
const ATTEMPTS: u32 = 3;
/// Before the second attempt, and as much longer before each further one.
const PAUSE: Duration = Duration::from_secs(10);
/// A step that takes this many times what it should is left to itself.
const GRACE: u32 = 3;
/// Events that are stored in one transaction at most: a screen full of what apt-get prints is one, and
/// nothing waits for long while nodes talk without a pause.
const BURST: usize = 256;
/// How often the display follows the clock.
const TICK: Duration = Duration::from_secs(1);

/// How a plan was left.
#[derive(Debug)]
pub(super) enum RoundEnd {
    /// The engine has no more to do.
    Idle(engine::Outcome),
    /// The run ends here.
    Over(Outcome),
}

/// One plan on its way.
pub(super) struct Round<'a, 'r> {
    orders: &'a Arc<Orders>,
    record: &'a mut Record<'r>,
    interrupts: watch::Receiver<u32>,
    interrupted: bool,
    engine: Engine,
    steps: BTreeMap<StepId, Step>,
    running: BTreeMap<StepId, Running>,
    retries: Vec<Retry>,
    attempts: BTreeMap<StepId, u32>,
    tell: UnboundedSender<(StepId, News)>,
    told: UnboundedReceiver<(StepId, News)>,
    following: JoinSet<()>,
    next_tick: Instant,
}

/// A step whose order is out.
struct Running {
    since: Instant,
    deadline: Duration,
    overdue: bool,
}

/// A step that gets another attempt.
struct Retry {
    at: Instant,
    step: StepId,
    /// What stays true if there is none after all.
    ended: Event,
}

enum Next {
    News(StepId, News),
    Interrupt,
    Clock,
}

impl<'a, 'r> Round<'a, 'r> {
    /// Carries the plan out as far as it goes.
    pub(super) async fn carry_out(
        plan: &Plan,
        orders: &'a Arc<Orders>,
        interrupts: watch::Receiver<u32>,
        record: &'a mut Record<'r>,
    ) -> Result<RoundEnd, DriveError> {
        let (engine, dispatches) = Engine::start(plan);
        let (tell, told) = unbounded_channel();
        let steps = plan.steps.iter().map(|left| (left.step.id.clone(), left.step.clone()));
        let mut round = Self {
            orders,
            record,
            interrupts,
            interrupted: false,
            engine,
            steps: steps.collect(),
            running: BTreeMap::new(),
            retries: Vec::new(),
            attempts: BTreeMap::new(),
            tell,
            told,
            following: JoinSet::new(),
            next_tick: Instant::now() + TICK,
        };
        round.dispatch(dispatches, plan)?;
        round.until_idle(plan).await
    }

    async fn until_idle(&mut self, plan: &Plan) -> Result<RoundEnd, DriveError> {
        loop {
            // News that waits already is stored and shown together.
            if self.told.is_empty() || self.record.waiting() >= BURST {
                self.record.flush().map_err(DriveError::Store)?;
            }
            if let Some(outcome) = self.engine.outcome() {
                return if outcome.cancelled {
                    self.leave()
                } else {
                    self.record.flush().map_err(DriveError::Store)?;
                    Ok(RoundEnd::Idle(outcome))
                };
            }
            let inputs = match self.next().await {
                Next::Interrupt if self.interrupted => return self.leave(),
                Next::Interrupt => self.interrupt(),
                Next::News(step, News::Superseded(by)) => {
                    return Ok(RoundEnd::Over(Outcome::Superseded { node: step.node, by }));
                }
                Next::News(step, news) => self.news(&step, news).into_iter().collect(),
                Next::Clock => self.clock()?,
            };
            for input in inputs {
                let dispatches = self.engine.handle(input);
                self.dispatch(dispatches, plan)?;
            }
        }
    }

    async fn next(&mut self) -> Next {
        let due = self.running.values().map(Running::next_look);
        let retries = self.retries.iter().map(|retry| retry.at);
        let wake = due.flatten().chain(retries).fold(self.next_tick, Instant::min);
        let interrupts = &mut self.interrupts;
        let interrupt = async {
            // Without a sender there is nobody who could interrupt.
            if interrupts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = interrupt => Next::Interrupt,
            Some((step, news)) = self.told.recv() => Next::News(step, news),
            () = sleep_until(wake) => Next::Clock,
        }
    }

    /// Records all orders, then sends them.
    fn dispatch(&mut self, dispatches: Vec<Dispatch>, plan: &Plan) -> Result<(), DriveError> {
        let mut sends = Vec::new();
        for dispatch in dispatches {
            match dispatch {
                Dispatch::Ensure { step } => sends.extend(self.ensure(&step, Begin::Send)),
                Dispatch::Attach { step, operation } => {
                    let by = plan.under_way.get(&step.node).map(|operation| operation.term.clone());
                    let known = self.steps.get(&step).cloned();
                    let doing = known.as_ref().map(|step| step.goal.doing());
                    let doing = doing.unwrap_or_else(|| step.goal.doing());
                    let operation_id = operation.clone();
                    self.record.tell(RunEvent::Followed { step, operation, by, doing });
                    sends.extend(known.map(|step| (step, operation_id, Begin::Send)));
                }
                Dispatch::Await { node, operation } => self.wait(plan, node, operation),
            }
        }
        if !sends.is_empty() {
            self.record.flush().map_err(DriveError::Store)?;
        }
        for (step, operation, begin) in sends {
            self.follow(step, operation, begin);
        }
        Ok(())
    }

    fn ensure(&mut self, id: &StepId, begin: Begin) -> Option<(Step, OperationId, Begin)> {
        let step = self.steps.get(id)?.clone();
        let operation = OperationId(Uuid::now_v7().to_string());
        *self.attempts.entry(id.clone()).or_default() += 1;
        self.record.tell(RunEvent::Dispatched {
            step: id.clone(),
            operation: operation.clone(),
            doing: step.goal.doing(),
            done: step.goal.done(),
        });
        Some((step, operation, begin))
    }

    fn follow(&mut self, step: Step, operation: OperationId, begin: Begin) {
        let deadline = Duration::from_secs(step.deadline_s);
        let running = Running { since: Instant::now(), deadline, overdue: false };
        self.running.insert(step.id.clone(), running);
        let (tell, id) = (self.tell.clone(), step.id.clone());
        let orders = Arc::clone(self.orders);
        // The round may be over by then: nobody needs the news.
        let tell = move |news| drop(tell.send((id.clone(), news)));
        self.following.spawn(orders.follow(step, operation, begin, tell));
    }

    fn wait(&mut self, plan: &Plan, node: NodeName, operation: OperationId) {
        let planned = plan.under_way.get(&node).filter(|known| known.operation == operation);
        let goal = planned.map_or_else(|| "another order".into(), |known| known.goal.clone());
        let by = planned.map(|known| known.term.clone());
        let step = StepId { node: node.clone(), goal: goal.clone() };
        let followed = operation.clone();
        let event = RunEvent::Followed {
            step: step.clone(),
            operation: followed,
            by,
            doing: goal.to_string(),
        };
        self.record.tell(event);
        let (tell, orders) = (self.tell.clone(), Arc::clone(self.orders));
        let tell = move |news| drop(tell.send((step.clone(), news)));
        self.following.spawn(orders.wait(node, operation, tell));
    }

    fn news(&mut self, id: &StepId, news: News) -> Option<Input> {
        let (step, node) = (id.clone(), id.node.clone());
        match news {
            News::Told(event @ Event::Ended { .. }) => self.ended(step, event),
            News::Told(event) => {
                self.record.tell(RunEvent::Told { step, event });
                None
            }
            News::Broken(why) => {
                self.record.tell(RunEvent::Broken { step, why });
                None
            }
            News::Lost(why) => {
                self.running.remove(id);
                self.record.tell(RunEvent::Lost { step, why });
                Some(Input::Lost { node })
            }
            News::Busy { operation, goal } => {
                self.running.remove(id);
                let why = format!("the node is at {goal}");
                self.record.tell(RunEvent::NotTaken { step: step.clone(), why });
                Some(Input::Busy { step, operation, goal })
            }
            News::Freed => {
                self.record.tell(RunEvent::Freed { step });
                Some(Input::Freed { node })
            }
            // `until_idle` has taken it.
            News::Superseded(_) => None,
        }
    }

    /// The engine learns of the last attempt alone.
    fn ended(&mut self, step: StepId, ended: Event) -> Option<Input> {
        self.running.remove(&step);
        let attempt = self.attempts.get(&step).copied().unwrap_or(1);
        if let Some(why) = mends(&ended).filter(|_| attempt < ATTEMPTS && !self.interrupted) {
            let at = Instant::now() + PAUSE * attempt;
            let attempt = attempt + 1;
            self.record.tell(RunEvent::Retrying { step: step.clone(), attempt, why });
            self.retries.push(Retry { at, step, ended });
            return None;
        }
        Some(self.close(step, ended))
    }

    fn close(&mut self, step: StepId, ended: Event) -> Input {
        let finding = match &ended {
            Event::Ended { finding, .. } => finding.clone(),
            Event::Started { .. } | Event::Activity(_) | Event::Output { .. } => {
                Finding::Unknown { why: "the operation did not end".to_owned() }
            }
        };
        self.record.tell(RunEvent::Told { step: step.clone(), event: ended });
        Input::Ended { step, finding }
    }

    fn interrupt(&mut self) -> Vec<Input> {
        self.interrupted = true;
        self.record.tell(RunEvent::Interrupted);
        let retries = std::mem::take(&mut self.retries);
        let closed = retries.into_iter().map(|retry| self.close(retry.step, retry.ended));
        std::iter::once(Input::Cancel).chain(closed).collect()
    }

    fn clock(&mut self) -> Result<Vec<Input>, DriveError> {
        let now = Instant::now();
        let mut inputs = Vec::new();
        for (step, running) in &mut self.running {
            if running.next_look().is_none_or(|at| at > now) {
                continue;
            }
            if running.overdue {
                running.deadline = Duration::MAX;
                inputs.push(Input::TimedOut { step: step.clone() });
            } else {
                running.overdue = true;
                let seconds = running.deadline.as_secs();
                self.record.tell(RunEvent::Overdue { step: step.clone(), seconds });
            }
        }
        let (due, later) = std::mem::take(&mut self.retries).into_iter().partition(|r| r.at <= now);
        self.retries = later;
        let due: Vec<Retry> = due;
        let sends: Vec<_> =
            due.iter().filter_map(|retry| self.ensure(&retry.step, Begin::Ask)).collect();
        self.record.flush().map_err(DriveError::Store)?;
        if self.next_tick <= now {
            self.next_tick = now + TICK;
            self.record.tick();
        }
        for (step, operation, begin) in sends {
            self.follow(step, operation, begin);
        }
        Ok(inputs)
    }

    /// After Ctrl-C: what runs goes on at the nodes.
    fn leave(&mut self) -> Result<RoundEnd, DriveError> {
        self.record.flush().map_err(DriveError::Store)?;
        let running: Vec<StepId> = self.running.keys().cloned().collect();
        let left = self.record.state().left.len();
        Ok(RoundEnd::Over(Outcome::Interrupted { left, running }))
    }
}

impl Running {
    /// `None`: it was given up on, and nothing further depends on the clock.
    fn next_look(&self) -> Option<Instant> {
        let wait = if self.overdue { self.deadline.checked_mul(GRACE)? } else { self.deadline };
        self.since.checked_add(wait)
    }
}

/// Why another attempt may do: the node says so, or nobody could tell what came of this one.
fn mends(ended: &Event) -> Option<String> {
    let Event::Ended { finding, failure } = ended else { return None };
    let causes = |failure: &Failure| failure.causes.join(", because ");
    match (finding, failure) {
        (Finding::Satisfied, _) => None,
        (_, Some(failure)) if failure.transient => Some(causes(failure)),
        (Finding::Unknown { why }, None) => Some(why.clone()),
        (Finding::Unknown { .. } | Finding::Drifted(_) | Finding::Refused { .. }, _) => None,
    }
}
