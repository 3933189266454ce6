//! The coordinators of the simulation: the real outline, pending and engine, with a driver that can
//! be killed or paused between any two events, and that follows orders as the real one does.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate::engine::{Dispatch, Engine, Input, Outcome};
use quorate::plan::{Blocked, Observed, Plan};
use quorate_proto::{Finding, Goal, NodeName, OperationId, RunId, StepId, Term};

use super::agent::HANGS;
use super::look::{Look, Seen};
use super::network::{Order, Told};
use super::random::Random;
use super::rules::Rules;
use super::secrets;
use super::world::SimCluster;

/// What happened in a run, where someone wants to read it: most cases are only counted.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub wanted: bool,
    pub lines: Vec<String>,
}

impl Log {
    /// Adds a line.
    pub fn add(&mut self, line: impl FnOnce() -> String) {
        if self.wanted {
            self.lines.push(line());
        }
    }
}

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
    /// Its database failed.
    Unrecorded,
    /// The coordinator died.
    Killed,
    /// Nothing more can happen, and the run does not end.
    Stuck,
}

/// One `quorate apply`.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub id: RunId,
    rules: Rules,
    /// Known once it has looked for the first time.
    term: Option<Term>,
    phase: Phase,
    /// The steps of the plan before, and how often they were the same.
    before: (Vec<StepId>, u32),
    following: BTreeMap<StepId, Following>,
    awaited: BTreeMap<NodeName, OperationId>,
    attempts: BTreeMap<StepId, u32>,
    operations: u64,
    /// Stopped, to go on later as if nothing had happened.
    pub paused: bool,
    /// News that it heard while it carried out its plans.
    pub heard: usize,
}

#[derive(Debug, Clone)]
enum Phase {
    Looking(Look),
    Working { engine: Engine, plan: Arc<Plan> },
    Over(End),
}

/// An order that was given.
#[derive(Debug, Clone)]
struct Following {
    operation: OperationId,
    /// `Some`: the connection broke, and the node did not answer so often since. It is asked what it
    /// does before anything is sent again.
    asking: Option<u32>,
    /// The engine was told that it takes too long; its end may be heard all the same.
    given_up: bool,
}

/// What came of listening.
enum Heard {
    Nothing,
    /// Something of which the engine need not know.
    News,
    Input(Input),
    Superseded,
}

impl Run {
    /// A run that has not looked yet.
    pub(super) fn new(world: &SimCluster, id: RunId, rules: Rules) -> Self {
        Self::looking(Look::new(world, &id, rules, None), id, rules, None)
    }

    /// A run that knows its term.
    pub(super) fn with_term(world: &SimCluster, term: &Term, rules: Rules) -> Self {
        let look = Look::new(world, &term.run, rules, Some(term.clone()));
        Self::looking(look, term.run.clone(), rules, Some(term.clone()))
    }

    fn looking(look: Look, id: RunId, rules: Rules, term: Option<Term>) -> Self {
        Self {
            id,
            rules,
            term,
            phase: Phase::Looking(look),
            before: (Vec::new(), 0),
            following: BTreeMap::new(),
            awaited: BTreeMap::new(),
            attempts: BTreeMap::new(),
            operations: 0,
            paused: false,
            heard: 0,
        }
    }

    pub(super) fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Over(end) => Some(end),
            Phase::Looking(_) | Phase::Working { .. } => None,
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.end().is_none()
    }

    /// It is stopped, to go on later. Whom it has asked answers all the same.
    pub(super) fn pause(&mut self, world: &mut SimCluster) {
        self.paused = true;
        if let Phase::Looking(look) = &mut self.phase {
            look.hasten(world);
        }
    }

    pub(super) fn stop(&mut self, end: End) {
        self.phase = Phase::Over(end);
    }

    /// The coordinator goes on by one event, if it has anything to hear.
    pub(super) fn step(
        &mut self,
        world: &mut SimCluster,
        random: &mut Random,
        log: &mut Log,
    ) -> bool {
        match &mut self.phase {
            Phase::Over(_) => false,
            Phase::Looking(look) => {
                let newest = if self.term.is_none() { look.newest_term() } else { 0 };
                if let Some(seen) = look.step(world, random) {
                    self.seen(seen, newest, world, log);
                }
                true
            }
            Phase::Working { .. } => self.listen(world, random, log),
        }
    }

    fn seen(&mut self, seen: Seen, newest: u64, world: &mut SimCluster, log: &mut Log) {
        let plan = match seen {
            Seen::Superseded => return self.over(End::Superseded, log),
            Seen::Blocked(blocked) => return self.over(End::Blocked(blocked), log),
            Seen::Plan(plan) => plan,
        };
        secrets::search_plan(world, &plan);
        if plan.is_complete() {
            return self.over(End::Success, log);
        }
        let Some(term) = &self.term else {
            // Only a look that claims the nodes is a ground to act on.
            let term = Term { number: newest + 1, run: self.id.clone() };
            log.add(|| format!("-- {} takes term {}", self.id, term.number));
            self.term = Some(term.clone());
            self.phase = Phase::Looking(Look::new(world, &self.id, self.rules, Some(term)));
            return;
        };
        log.add(|| {
            format!(
                "-- term {term} plans {} steps, {} withheld",
                plan.steps.len(),
                plan.withheld.len()
            )
        });
        if !self.gets_on(&plan) {
            let left = plan.steps.into_iter().map(|left| left.step.id);
            return self.over(End::Stalled(left.collect()), log);
        }
        let (engine, orders) = Engine::start(&plan);
        self.phase = Phase::Working { engine, plan: Arc::new(*plan) };
        (self.following, self.attempts) = (BTreeMap::new(), BTreeMap::new());
        self.awaited = BTreeMap::new();
        self.send(orders, world, log);
        self.see_end(world, log);
    }

    fn over(&mut self, end: End, log: &mut Log) {
        log.add(|| format!("-- {} ends: {end:?}", self.id));
        self.phase = Phase::Over(end);
    }

    /// As the driver has it: one round may bring nothing, a second one not.
    fn gets_on(&mut self, plan: &Plan) -> bool {
        if plan.steps.is_empty() && plan.under_way.is_empty() {
            return false;
        }
        let left: Vec<StepId> = plan.steps.iter().map(|left| left.step.id.clone()).collect();
        self.before.1 = if self.before.0 == left { self.before.1 + 1 } else { 0 };
        self.before.0 = left;
        self.before.1 < 2
    }

    fn listen(&mut self, world: &mut SimCluster, random: &mut Random, log: &mut Log) -> bool {
        let input = match self.hear(world, random) {
            Heard::Nothing => return false,
            Heard::News => return true,
            Heard::Superseded => {
                self.over(End::Superseded, log);
                return true;
            }
            Heard::Input(input) => input,
        };
        self.heard += 1;
        log.add(|| describe(&input));
        secrets::search(world, &input);
        let Phase::Working { engine, .. } = &mut self.phase else { return true };
        let orders = engine.handle(input);
        self.send(orders, world, log);
        self.see_end(world, log);
        true
    }

    /// Once the engine is idle, all is looked at again, unless something failed.
    fn see_end(&mut self, world: &mut SimCluster, log: &mut Log) {
        let Phase::Working { engine, plan } = &self.phase else { return };
        let Some(outcome) = engine.outcome() else { return };
        secrets::search(world, &outcome);
        if !outcome.failed.is_empty() {
            return self.over(End::NotDone(outcome), log);
        }
        if !self.rules.only_checks && outcome.is_complete() && plan.withheld.is_empty() {
            return self.over(End::Success, log);
        }
        let look = Look::new(world, &self.id, self.rules, self.term.clone());
        self.phase = Phase::Looking(look);
    }

    fn send(&mut self, orders: Vec<Dispatch>, world: &mut SimCluster, log: &mut Log) {
        for order in orders {
            secrets::search(world, &order);
            match order {
                Dispatch::Ensure { step } => {
                    log.add(|| format!("order {step}"));
                    let operation = self.new_operation(&step);
                    self.order(&step, operation, world);
                }
                Dispatch::Attach { step, operation } => {
                    log.add(|| format!("attach {step}"));
                    self.order(&step, operation, world);
                }
                Dispatch::Await { node, operation } => {
                    log.add(|| format!("await {node}"));
                    self.awaited.insert(node, operation);
                }
            }
        }
    }

    fn new_operation(&mut self, step: &StepId) -> OperationId {
        self.operations += 1;
        *self.attempts.entry(step.clone()).or_default() += 1;
        OperationId(format!("{}-{}", self.id, self.operations))
    }

    fn order(&mut self, id: &StepId, operation: OperationId, world: &mut SimCluster) {
        let following = Following { operation: operation.clone(), asking: None, given_up: false };
        self.following.insert(id.clone(), following);
        let Some((goal, material)) = self.goal(id) else { return };
        let order = Order {
            from: self.id.clone(),
            step: id.clone(),
            operation,
            term: self.term.clone().unwrap_or_default(),
            goal: Arc::new(goal),
            material: material.then(|| self.id.clone()),
        };
        secrets::search_order(world, &order);
        world.network.orders.push(order);
    }

    /// The goal of a step, and whether its order carries join material.
    fn goal(&self, id: &StepId) -> Option<(Goal, bool)> {
        let Phase::Working { plan, .. } = &self.phase else { return None };
        let left = plan.steps.iter().find(|left| left.step.id == *id)?;
        Some((left.step.goal.clone(), left.step.needs_material()))
    }

    /// Something that the driver can know now, if there is anything.
    fn hear(&mut self, world: &mut SimCluster, random: &mut Random) -> Heard {
        let answers = world.network.answers.iter().enumerate();
        let ours = answers.filter(|(_, answer)| answer.to == self.id).map(|(at, _)| at).collect();
        if let Some(at) = random.pick(ours) {
            let answer = world.network.answers.remove(at);
            let known = self.following.get(&answer.step);
            if known.is_none_or(|it| it.operation != answer.operation || it.asking.is_some()) {
                return Heard::News;
            }
            if !world.answers(&self.id, &answer.step.node) {
                return self.broken(&answer.step);
            }
            return self.answered(answer.step, answer.told, world);
        }
        self.follow(world, random)
    }

    /// Looks after one of the orders that are out, or of the operations that are awaited.
    fn follow(&mut self, world: &mut SimCluster, random: &mut Random) -> Heard {
        let due = self.following.iter().filter(|(step, at)| {
            at.asking.is_some()
                || !world.answers(&self.id, &step.node)
                || !(is_at(world, &step.node, &at.operation)
                    || world.network.carries(&self.id, &at.operation))
        });
        if let Some(step) = random.pick(due.map(|(step, _)| step.clone()).collect()) {
            let asking = self.following.get(&step).and_then(|at| at.asking);
            return match asking {
                Some(tries) => self.ask(step, tries, world, random),
                None => self.broken(&step),
            };
        }
        let over = self.awaited.iter().find(|(node, operation)| {
            !world.answers(&self.id, node) || !is_at(world, node, operation)
        });
        if let Some(node) = over.map(|(node, _)| node.clone()) {
            self.awaited.remove(&node);
            let lost = !world.answers(&self.id, &node);
            return Heard::Input(if lost { Input::Lost { node } } else { Input::Freed { node } });
        }
        // What takes too long is given up in the end, though not by the clock.
        let waits = self.following.iter_mut().find(|(step, at)| {
            let hangs =
                world.node(&step.node).operation.as_ref().is_some_and(|at| at.left > HANGS / 5);
            !at.given_up && (world.faults || hangs)
        });
        waits.filter(|_| random.percent(2)).map_or(Heard::Nothing, |(step, at)| {
            at.given_up = true;
            Heard::Input(Input::TimedOut { step: step.clone() })
        })
    }

    fn broken(&mut self, step: &StepId) -> Heard {
        if let Some(following) = self.following.get_mut(step) {
            following.asking = Some(0);
        }
        Heard::News
    }

    /// After a break the node is asked what it does, and unless it works on this very operation,
    /// whether the goal holds already. Only then is anything sent again.
    fn ask(
        &mut self,
        step: StepId,
        tries: u32,
        world: &mut SimCluster,
        random: &mut Random,
    ) -> Heard {
        let Some(operation) = self.following.get(&step).map(|it| it.operation.clone()) else {
            return Heard::News;
        };
        if !world.answers(&self.id, &step.node) {
            if tries >= 2 && random.percent(40) {
                return self.lose(step.node);
            }
            if let Some(following) = self.following.get_mut(&step) {
                following.asking = Some(tries + 1);
            }
            return Heard::News;
        }
        match &world.node(&step.node).operation {
            Some(at) if at.id != operation => {
                let (operation, goal) = (at.id.clone(), at.goal.id());
                self.following.remove(&step);
                return Heard::Input(Input::Busy { step, operation, goal });
            }
            Some(_) => {}
            None => {
                let holds = self.goal(&step).map(|(goal, _)| world.check(&step.node, &goal));
                if let Some(finding @ Finding::Satisfied) = holds {
                    self.following.remove(&step);
                    return Heard::Input(Input::Ended { step, finding });
                }
            }
        }
        self.order(&step, operation, world);
        Heard::News
    }

    fn lose(&mut self, node: NodeName) -> Heard {
        self.following.retain(|step, _| step.node != node);
        Heard::Input(Input::Lost { node })
    }

    fn answered(&mut self, step: StepId, told: Told, world: &mut SimCluster) -> Heard {
        secrets::record(world, self.rules, &self.id, &told);
        let finding = match told {
            Told::Superseded => return Heard::Superseded,
            Told::Busy { operation, goal } => {
                self.following.remove(&step);
                return Heard::Input(Input::Busy { step, operation, goal });
            }
            Told::Refused => Finding::Unknown { why: "the ledger cannot be written".to_owned() },
            Told::Ended { claims_success: true, .. } if !self.rules.only_checks => {
                Finding::Satisfied
            }
            Told::Ended { finding, transient, .. } => {
                let attempts = self.attempts.get(&step).copied().unwrap_or(1);
                if transient && attempts < 3 && !finding.is_satisfied() {
                    let operation = self.new_operation(&step);
                    self.following
                        .insert(step, Following { operation, asking: Some(0), given_up: false });
                    return Heard::News;
                }
                finding
            }
        };
        self.following.remove(&step);
        Heard::Input(Input::Ended { step, finding })
    }
}

fn is_at(world: &SimCluster, node: &NodeName, operation: &OperationId) -> bool {
    world.node(node).operation.as_ref().is_some_and(|at| at.id == *operation)
}

fn describe(input: &Input) -> String {
    match input {
        Input::Ended { step, finding: Finding::Satisfied } => format!("{step} holds"),
        Input::Ended { step, .. } => format!("{step} does not hold"),
        Input::Busy { step, goal, .. } => format!("{step} finds its node at {goal}"),
        Input::Freed { node } => format!("{node} is free"),
        Input::Lost { node } => format!("{node} is lost"),
        Input::TimedOut { step } => format!("{step} takes too long"),
        Input::Cancel => "cancelled".to_owned(),
    }
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
    let mut run = Run::with_term(world, term, rules);
    loop {
        if let Some(end) = run.end() {
            return end.clone();
        }
        // The news of which it dies is not heard any more.
        if run.heard >= kill_after && !matches!(run.phase, Phase::Looking(_)) {
            return End::Killed;
        }
        let heard = random.percent(50) && run.step(world, random, log);
        let moved = heard || world.happen(random) || run.step(world, random, log);
        if !moved && run.is_alive() {
            return End::Stuck;
        }
    }
}

/// Observes and plans, while the world goes on.
///
/// # Errors
/// Where the plan is blocked.
///
/// # Panics
/// If a node obeys a newer run.
pub fn plan(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    claim: Option<&Term>,
) -> Result<Plan, Blocked> {
    let run = claim.map(|term| term.run.clone()).unwrap_or_default();
    let mut look = Look::new(world, &run, rules, claim.cloned());
    loop {
        match look.step(world, random) {
            None => {}
            Some(Seen::Plan(plan)) => return Ok(*plan),
            Some(Seen::Blocked(blocked)) => return Err(blocked),
            Some(Seen::Superseded) => panic!("another run has taken over"),
        }
    }
}

/// Asks every node what it is and holds.
pub fn observe(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    claim: Option<&Term>,
) -> Observed {
    let run = claim.map(|term| term.run.clone()).unwrap_or_default();
    let mut look = Look::new(world, &run, rules, claim.cloned());
    while !look.is_described() {
        look.step(world, random);
    }
    look.into_observed()
}
