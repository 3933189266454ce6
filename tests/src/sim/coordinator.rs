//! The coordinators of the simulation. Each is the real machine: its questions are answered here, its
//! orders sent and its time passed, and it can be killed or stopped between any two inputs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use quorate::engine::Outcome;
use quorate::fleet::FleetError;
use quorate::plan::Blocked;
use quorate::run::machine::{
    Barred, Call, Drawn, Effect, Input, Look, Machine, Material, Over, Seen, Target, Turn,
    next_term,
};
use quorate_proto::{Event, Failure, Finding, NodeName, OperationId, RunId, StepId, Term};

use super::agent::HANGS;
use super::answers::{Asker, Question};
use super::log::{Log, is_of_nodes};
use super::network::{Order, Told};
use super::random::Random;
use super::rules::Rules;
use super::secrets;
use super::world::SimCluster;

/// A pause of the machine's; what is due later is a deadline.
const LONGEST_PAUSE_MS: u64 = 30_000;
/// Between two inputs.
const INPUT_MS: u64 = 20;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything that the specification asks for holds.
    Success,
    NotDone(Outcome),
    /// Looking again does not bring it further: these steps are left.
    Stalled(Vec<StepId>),
    Blocked(Blocked),
    /// A newer run gives the orders.
    Superseded,
    /// Ctrl-C.
    Interrupted,
    /// Its database failed.
    Unrecorded,
    /// The coordinator died.
    Killed,
    /// Nothing more can happen, and the run does not end.
    Stuck,
}

impl End {
    fn of(over: &Over) -> Self {
        match over {
            Over::Holds => Self::Success,
            Over::NotDone { ended, withheld: _ } => Self::NotDone(ended.clone()),
            Over::Stalled { left, withheld: _ } => Self::Stalled(left.clone()),
            Over::Blocked(barred) => Self::blocked(barred),
            Over::Superseded { .. } => Self::Superseded,
            Over::Interrupted { .. } => Self::Interrupted,
        }
    }

    fn blocked(barred: &Barred) -> Self {
        match barred {
            Barred::Plan(blocked) => Self::Blocked(blocked.clone()),
            Barred::Strangers(reasons) => panic!("nodes of the simulation are known: {reasons:?}"),
        }
    }
}

/// One `quorate apply`.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub id: RunId,
    asker: Asker,
    target: Arc<Target>,
    /// The term that it takes; by default, one more than it has seen.
    term: Option<Term>,
    phase: Phase,
    questions: BTreeMap<Call, Question>,
    streams: BTreeMap<Call, Stream>,
    /// What came while it was stopped, or is told together.
    inbox: VecDeque<Input>,
    now_ms: u64,
    operations: u64,
    /// Its database takes no more events.
    unrecorded: bool,
    /// Stopped, to go on later as if nothing had happened.
    pub paused: bool,
    /// What it heard of steps and nodes while it carried out its plans.
    pub heard: usize,
}

#[derive(Debug, Clone)]
enum Phase {
    /// The look without a claim, and how many calls it made.
    First(Box<Look>, u64),
    Running(Box<Machine>),
    Over(End),
}

/// An order whose end was not told.
#[derive(Debug, Clone)]
struct Stream {
    step: StepId,
    operation: OperationId,
}

/// What a run can hear next.
enum Next {
    Question(Call),
    Broken(Call),
    Pause(u64),
}

impl Run {
    /// A run that has not looked yet.
    pub(super) fn new(world: &mut SimCluster, id: RunId, rules: Rules) -> Self {
        Self::taking(world, id, rules, None)
    }

    fn taking(world: &mut SimCluster, id: RunId, rules: Rules, term: Option<Term>) -> Self {
        let asker = Asker::new(id.clone(), rules);
        let target = asker.target(world);
        let mut no_operation = || OperationId(String::new());
        let mut turn = Turn::new(0, 0, &mut no_operation);
        let look = Look::begin(Arc::clone(&target), None, BTreeSet::new(), &mut turn);
        let effects = std::mem::take(&mut turn.effects);
        let phase = Phase::First(Box::new(look), turn.calls());
        let mut run = Self {
            id,
            asker,
            target,
            term,
            phase,
            questions: BTreeMap::new(),
            streams: BTreeMap::new(),
            inbox: VecDeque::new(),
            now_ms: 0,
            operations: 0,
            unrecorded: false,
            paused: false,
            heard: 0,
        };
        run.perform(effects, world, &mut Log::default());
        run
    }

    pub(super) fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Over(end) => Some(end),
            Phase::First(..) | Phase::Running(_) => None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.end().is_none()
    }

    /// It is stopped, to go on later. Nodes that were asked answer all the same.
    pub(super) fn pause(&mut self, world: &mut SimCluster) {
        self.paused = true;
        for (call, question) in std::mem::take(&mut self.questions) {
            self.inbox.push_back(self.asker.answer(world, call, question));
        }
    }

    pub(super) fn stop(&mut self, end: End) {
        self.phase = Phase::Over(end);
    }

    /// The next event that it records is not stored.
    pub(super) fn lose_database(&mut self) {
        self.unrecorded = true;
    }

    /// Someone presses Ctrl-C.
    pub(super) fn interrupt(&mut self) {
        self.inbox.push_back(Input::Interrupted);
    }

    /// The coordinator goes on by one input, if there is one.
    pub(super) fn step(
        &mut self,
        world: &mut SimCluster,
        random: &mut Random,
        log: &mut Log,
    ) -> bool {
        if !self.is_alive() {
            return false;
        }
        let heard = !self.inbox.is_empty() || self.receive(world, random);
        if let Some(input) = self.inbox.pop_front() {
            self.take(input, world, log);
        }
        if heard {
            return true;
        }
        let input = match random.pick(self.possible(world)) {
            Some(Next::Question(call)) => {
                let Some(question) = self.questions.remove(&call) else { return false };
                self.asker.answer(world, call, question)
            }
            Some(Next::Broken(call)) => self.broken(call),
            Some(Next::Pause(until_ms)) => {
                self.pass_time(until_ms, world, random, log);
                return true;
            }
            // What takes too long is given up in the end.
            None if self.may_take_long(world) && random.percent(2) => {
                return self.wait(world, log);
            }
            None => return false,
        };
        self.take(input, world, log);
        true
    }

    /// A pause ends, and what is asked then is mostly answered before anything else happens: answers
    /// take no time beside pauses. While nodes are silent, so do several pauses.
    fn pass_time(
        &mut self,
        until_ms: u64,
        world: &mut SimCluster,
        random: &mut Random,
        log: &mut Log,
    ) {
        let mut next = Some(until_ms);
        while let Some(until_ms) = next {
            self.now_ms = until_ms;
            self.take(Input::TimePassed, world, log);
            next = None;
            if random.percent(80) {
                let mut silent = false;
                for (call, question) in std::mem::take(&mut self.questions) {
                    silent |= !world.answers(&self.id, question.node());
                    let input = self.asker.answer(world, call, question);
                    self.take(input, world, log);
                }
                next = self.pause_ends().filter(|_| silent);
            }
        }
    }

    /// Time passes until something is due, however long that is.
    pub(super) fn wait(&mut self, world: &mut SimCluster, log: &mut Log) -> bool {
        let Some(wake_ms) = self.wake_at() else { return false };
        self.now_ms = self.now_ms.max(wake_ms);
        self.take(Input::TimePassed, world, log);
        true
    }

    fn wake_at(&self) -> Option<u64> {
        match &self.phase {
            Phase::Running(machine) => machine.wake_at(),
            Phase::First(..) | Phase::Over(_) => None,
        }
    }

    fn may_take_long(&self, world: &SimCluster) -> bool {
        let hangs = |stream: &Stream| {
            let operation = world.node(&stream.step.node).operation.as_ref();
            operation.is_some_and(|at| at.left > HANGS / 5)
        };
        !self.streams.is_empty() && (world.faults || self.streams.values().any(hangs))
    }

    fn possible(&self, world: &SimCluster) -> Vec<Next> {
        let questions = self.questions.keys().map(|call| Next::Question(*call));
        let broken = self.streams.iter().filter(|(_, stream)| self.is_broken(world, stream));
        let broken = broken.map(|(call, _)| Next::Broken(*call));
        questions.chain(broken).chain(self.pause_ends().map(Next::Pause)).collect()
    }

    fn pause_ends(&self) -> Option<u64> {
        let near = |at_ms: &u64| *at_ms <= self.now_ms + LONGEST_PAUSE_MS;
        self.wake_at().filter(near).map(|at_ms| at_ms.max(self.now_ms))
    }

    fn is_broken(&self, world: &SimCluster, stream: &Stream) -> bool {
        let Stream { step, operation } = stream;
        let at = world.node(&step.node).operation.as_ref();
        !world.answers(&self.id, &step.node)
            || !(at.is_some_and(|at| at.id == *operation)
                || world.network.carries(&self.id, operation))
    }

    fn broken(&mut self, call: Call) -> Input {
        let node = self.streams.remove(&call).map(|stream| stream.step.node);
        Input::Closed { call, result: Err(silent(node)) }
    }

    /// Takes an answer off the network, if one has arrived.
    fn receive(&mut self, world: &mut SimCluster, random: &mut Random) -> bool {
        let answers = world.network.answers.iter().enumerate();
        let ours = answers.filter(|(_, answer)| answer.to == self.id).map(|(at, _)| at).collect();
        let Some(at) = random.pick(ours) else { return false };
        let answer = world.network.answers.remove(at);
        // Of an order that is not listened to any more nothing is heard.
        let Some(stream) = self.streams.remove(&answer.call) else { return true };
        if world.answers(&self.id, &stream.step.node) {
            let told = self.told(answer.call, &stream.step, answer.told, world);
            self.inbox.extend(told);
        } else {
            let result = Err(silent(Some(stream.step.node)));
            self.inbox.push_back(Input::Closed { call: answer.call, result });
        }
        true
    }

    fn told(&mut self, call: Call, step: &StepId, told: Told, world: &SimCluster) -> Vec<Input> {
        let node = step.node.clone();
        let refused = |error| vec![Input::Closed { call, result: Err(error) }];
        match told {
            Told::Superseded => {
                let term = world.node(&node).term.clone();
                refused(FleetError::Superseded { node, term })
            }
            Told::Busy { operation, goal } => refused(FleetError::Busy { node, operation, goal }),
            Told::Refused => {
                let why = "the ledger cannot be written".to_owned();
                refused(FleetError::Refused { node, why })
            }
            Told::Ended { claims_success: true, .. } if !self.asker.rules.only_checks => {
                self.asker.claimed.insert(step.clone());
                let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
                vec![Input::Told { call, event: ended }]
            }
            Told::Ended { finding, claims_success, transient } => {
                let failure = Failure { transient, ..Failure::default() };
                let failure = Some(failure).filter(|_| !claims_success || transient);
                let rules = self.asker.rules;
                let events = secrets::events(world, rules, &self.id, finding, failure);
                events.into_iter().map(|event| Input::Told { call, event }).collect()
            }
        }
    }

    fn take(&mut self, input: Input, world: &mut SimCluster, log: &mut Log) {
        self.now_ms += INPUT_MS;
        let effects = match &mut self.phase {
            Phase::Over(_) => return,
            Phase::First(look, calls) => {
                let mut no_operation = || OperationId(String::new());
                let mut turn = Turn::new(self.now_ms, *calls, &mut no_operation);
                let seen = look.handle(input, false, &mut turn);
                *calls = turn.calls();
                let effects = turn.effects;
                match seen {
                    None => effects,
                    Some(Seen::Drawn(drawn)) => self.start(*drawn, world, log),
                    Some(Seen::Barred(barred)) => return self.over(End::blocked(&barred), log),
                    Some(Seen::Superseded { .. }) => return self.over(End::Superseded, log),
                }
            }
            Phase::Running(machine) => {
                let (id, operations) = (&self.id, &mut self.operations);
                machine.handle(self.now_ms, input, &mut || {
                    *operations += 1;
                    OperationId(format!("{id}-{operations}"))
                })
            }
        };
        self.perform(effects, world, log);
        if let Phase::Running(machine) = &self.phase
            && let Some(over) = machine.over()
        {
            secrets::search(world, over);
            self.over(End::of(over), log);
        }
    }

    /// The run takes its term.
    fn start(&mut self, first: Drawn, world: &mut SimCluster, log: &mut Log) -> Vec<Effect> {
        secrets::search_plan(world, &first.plan);
        let next = || next_term(0, &first.observed, &self.id).expect("terms are within reach");
        let term = self.term.take().unwrap_or_else(next);
        log.add(|| format!("-- {} takes term {}", self.id, term.number));
        let target = Arc::clone(&self.target);
        let (machine, effects) = Machine::start(target, term, first, self.now_ms);
        self.phase = Phase::Running(Box::new(machine));
        effects
    }

    fn over(&mut self, end: End, log: &mut Log) {
        log.add(|| format!("-- {} ends: {end:?}", self.id));
        self.phase = Phase::Over(end);
    }

    fn perform(&mut self, effects: Vec<Effect>, world: &mut SimCluster, log: &mut Log) {
        log.add_effects(&effects);
        for effect in effects {
            match effect {
                Effect::Record(_) if self.unrecorded => return self.over(End::Unrecorded, log),
                Effect::Record(event) => {
                    self.heard += usize::from(is_of_nodes(&event));
                    secrets::search_event(world, &event);
                }
                Effect::Describe { call, node, claim } => {
                    self.questions.insert(call, Question::Describe { node, claim });
                }
                Effect::Check { call, node, goals } => {
                    self.questions.insert(call, Question::Check { node, goals });
                }
                Effect::HangUp { call } => {
                    self.questions.remove(&call);
                    self.streams.remove(&call);
                }
                Effect::Send { call, order } => {
                    let (step, operation) = (order.step.clone(), order.operation.clone());
                    self.streams.insert(call, Stream { step, operation });
                    let order = Order {
                        from: self.id.clone(),
                        call,
                        step: order.step,
                        operation: order.operation,
                        term: order.term,
                        goal: Arc::new(order.goal),
                        material: (order.material != Material::None).then(|| self.id.clone()),
                    };
                    secrets::search_order(world, &order);
                    world.network.orders.push(order);
                }
            }
        }
    }
}

fn silent(node: Option<NodeName>) -> FleetError {
    let node = node.expect("the stream was open");
    FleetError::Silent { node, why: "connection reset".to_owned() }
}

/// One `quorate apply` of this term, alone with its world: until nothing is pending, or until it is
/// killed when it has heard so much.
pub fn apply(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    term: &Term,
    kill_after: usize,
    log: &mut Log,
) -> End {
    world.rules = rules;
    let mut run = Run::taking(world, term.run.clone(), rules, Some(term.clone()));
    loop {
        if let Some(end) = run.end() {
            return end.clone();
        }
        // The news of which it dies is not heard any more.
        if run.heard >= kill_after {
            return End::Killed;
        }
        let heard = random.percent(50) && run.step(world, random, log);
        let moved = heard || world.happen(random) || run.step(world, random, log);
        if !moved && !run.wait(world, log) && run.is_alive() {
            return End::Stuck;
        }
    }
}
