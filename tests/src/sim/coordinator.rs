//! The coordinator of the simulation: the real outline, pending and engine, with a driver that
//! can be killed, and with rules that can be left out to see that each is needed.

use std::collections::BTreeMap;

use quorate::engine::{Dispatch, Engine, Input, Outcome};
use quorate::plan::{Blocked, ClockOffset, Findings, Holder, Observed, Plan, Sight, pending};
use quorate_proto::{Finding, Goal, NodeName, OperationId, StepId, Term};

use super::agent::{Order, Told};
use super::cluster::SimCluster;
use super::random::Random;

/// Rules of the design. Left out, each lets something happen that must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A run starts from the operations under way.
    pub running_first: bool,
    /// A silent node holds a place in its lanes.
    pub silent_slots: bool,
    /// Agents refuse older terms.
    pub terms: bool,
    /// A run claims its nodes with its term when it looks.
    pub claims: bool,
    /// Only a check says that a goal holds.
    pub only_checks: bool,
    /// No cluster is founded while a node is silent.
    pub founding_guard: bool,
    /// The membership is looked at before it is changed.
    pub membership_gate: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        running_first: true,
        silent_slots: true,
        terms: true,
        claims: true,
        only_checks: true,
        founding_guard: true,
        membership_gate: true,
    };
}

/// What happened in a run, where someone wants to read it: most cases are only counted.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub wanted: bool,
    pub lines: Vec<String>,
    /// Events that the coordinator heard of.
    pub events: usize,
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
    Blocked(Blocked),
    /// The coordinator died after so many events.
    Killed,
    /// Nothing more can happen, and the run does not end.
    Stuck,
}

/// One `quorate apply`: observes, plans and carries out until nothing is pending, or until it is
/// killed after so many events.
pub fn apply(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    term: &Term,
    mut kill_after: usize,
    log: &mut Log,
) -> End {
    // Each round brings the cluster further, or ends the run.
    for _ in 0..10 {
        let plan = match plan(world, random, rules, Some(term)) {
            Ok(plan) => plan,
            Err(blocked) => return End::Blocked(blocked),
        };
        if plan.is_complete() {
            return End::Success;
        }
        let mut run = Run::new(world, plan, rules, term.clone());
        match run.carry_out(random, &mut kill_after, log) {
            Ok(outcome) if outcome.is_complete() && run.plan.withheld.is_empty() => {
                if !rules.only_checks {
                    return End::Success;
                }
            }
            Ok(outcome) => return End::NotDone(outcome),
            Err(end) => return end,
        }
    }
    End::Stuck
}

/// Observes and plans, while the world goes on.
///
/// # Errors
/// Where the plan is blocked.
pub fn plan(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    claim: Option<&Term>,
) -> Result<Plan, Blocked> {
    let mut observed = observe(world, random, rules, claim);
    let mut spec = world.spec.clone();
    if !rules.founding_guard {
        let silent = |node: &NodeName| observed.silence(node).is_some();
        spec.nodes.retain(|node| !silent(&node.name));
    }
    let outline = world.procedure.outline(&spec, &observed)?;
    let mut findings = Findings::new();
    for node in world.spec.nodes.clone() {
        if random.percent(20) {
            world.happen(random, rules.terms);
        }
        if world.is_silent(&node.name) {
            let why = "it fell silent between two questions".to_owned();
            if observed.silence(&node.name).is_none() {
                observed.nodes.insert(node.name, Sight::Silent { why });
            }
            continue;
        }
        for step in outline.steps.iter().filter(|step| step.id.node == node.name) {
            findings.insert(step.id.clone(), world.check(&node.name, &step.goal));
        }
    }
    let mut plan = pending(&outline, &findings, &observed)?;
    if !rules.silent_slots {
        plan.held.retain(|slot| slot.by != Holder::Silence);
    }
    Ok(plan)
}

/// Asks every node what it is and holds, while the world goes on.
pub fn observe(
    world: &mut SimCluster,
    random: &mut Random,
    rules: Rules,
    claim: Option<&Term>,
) -> Observed {
    let mut observed = Observed::default();
    for node in world.spec.nodes.clone() {
        if random.percent(20) {
            world.happen(random, rules.terms);
        }
        let sight = if world.is_silent(&node.name) {
            Sight::Silent { why: "no route to host".to_owned() }
        } else {
            let newest = &mut world.node_mut(&node.name).term;
            if let Some(claim) = claim.filter(|it| rules.claims && it.obeyed_after(newest)) {
                *newest = claim.clone();
            }
            let mut facts = world.facts(&node.name);
            if !rules.running_first {
                facts.under_way = None;
            }
            if let Some(etcd) = facts.etcd.as_mut().filter(|_| !rules.membership_gate) {
                etcd.members.retain(|member| !member.learner);
            }
            let clock = ClockOffset::exactly(world.node(&node.name).clock_offset_ms);
            Sight::Seen { facts: Box::new(facts), clock }
        };
        observed.nodes.insert(node.name, sight);
    }
    observed
}

/// A plan that is carried out: what the driver knows.
struct Run<'a> {
    world: &'a mut SimCluster,
    plan: Plan,
    rules: Rules,
    term: Term,
    sent: BTreeMap<StepId, OperationId>,
    awaited: BTreeMap<NodeName, OperationId>,
}

impl<'a> Run<'a> {
    fn new(world: &'a mut SimCluster, plan: Plan, rules: Rules, term: Term) -> Self {
        Self { world, plan, rules, term, sent: BTreeMap::new(), awaited: BTreeMap::new() }
    }

    fn carry_out(
        &mut self,
        random: &mut Random,
        kill_after: &mut usize,
        log: &mut Log,
    ) -> Result<Outcome, End> {
        let (mut engine, orders) = Engine::start(&self.plan);
        self.send(orders, log);
        loop {
            if let Some(outcome) = engine.outcome() {
                return Ok(outcome);
            }
            let heard = if random.percent(50) { self.hear(random) } else { None };
            let happened = heard.is_none() && self.world.happen(random, self.rules.terms);
            let Some(input) = heard.or_else(|| if happened { None } else { self.hear(random) })
            else {
                if happened {
                    continue;
                }
                return Err(End::Stuck);
            };
            log.events += 1;
            if *kill_after == 0 {
                return Err(End::Killed);
            }
            *kill_after -= 1;
            log.add(|| describe(&input));
            let orders = engine.handle(input);
            self.send(orders, log);
        }
    }

    fn send(&mut self, orders: Vec<Dispatch>, log: &mut Log) {
        for order in orders {
            match order {
                Dispatch::Ensure { step } => {
                    log.add(|| format!("order {step}"));
                    let id = format!("{}-{step}", self.term.number);
                    self.order(step, OperationId(id));
                }
                Dispatch::Attach { step, operation } => {
                    log.add(|| format!("attach {step}"));
                    self.order(step, operation);
                }
                Dispatch::Await { node, operation } => {
                    log.add(|| format!("await {node}"));
                    self.awaited.insert(node, operation);
                }
            }
        }
    }

    fn order(&mut self, step: StepId, operation: OperationId) {
        let goal = self.plan.steps.iter().find(|left| left.step.id == step);
        let goal: Goal = goal.expect("a step of the plan").step.goal.clone();
        self.sent.insert(step.clone(), operation.clone());
        self.world.orders.push(Order { step, operation, term: self.term.clone(), goal });
    }

    /// Something that the driver can know now, if there is anything.
    fn hear(&mut self, random: &mut Random) -> Option<Input> {
        self.world.answers.retain(|answer| answer.to == self.term);
        if !self.world.answers.is_empty() {
            let at = random.below(self.world.answers.len());
            let answer = self.world.answers.remove(at);
            if self.world.is_silent(&answer.step.node) {
                return self.lose(answer.step.node);
            }
            return self.answered(answer.step, answer.told);
        }
        let gone = |node: &NodeName, operation: &OperationId| {
            let at = self.world.node(node).operation.as_ref();
            at.is_none_or(|at| at.id != *operation)
        };
        let on_its_way = |id: &OperationId| self.world.orders.iter().any(|it| it.operation == *id);
        let lost = self.sent.iter().find(|(step, operation)| {
            self.world.is_silent(&step.node)
                || (gone(&step.node, operation) && !on_its_way(operation))
        });
        if let Some(node) = lost.map(|(step, _)| step.node.clone()) {
            return self.lose(node);
        }
        let silent = self.awaited.keys().find(|node| self.world.is_silent(node)).cloned();
        if let Some(node) = silent {
            return self.lose(node);
        }
        let freed = self.awaited.iter().find(|(node, operation)| gone(node, operation));
        let node = freed.map(|(node, _)| node.clone())?;
        self.awaited.remove(&node);
        Some(Input::Freed { node })
    }

    fn lose(&mut self, node: NodeName) -> Option<Input> {
        self.sent.retain(|step, _| step.node != node);
        self.awaited.remove(&node);
        Some(Input::Lost { node })
    }

    fn answered(&mut self, step: StepId, told: Told) -> Option<Input> {
        self.sent.remove(&step);
        Some(match told {
            Told::Busy { operation, goal } => Input::Busy { step, operation, goal },
            Told::Ended { claims_success: true, .. } if !self.rules.only_checks => {
                Input::Ended { step, finding: Finding::Satisfied }
            }
            Told::Ended { finding, .. } => Input::Ended { step, finding },
        })
    }
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
