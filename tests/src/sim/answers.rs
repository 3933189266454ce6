//! What nodes answer to the questions of a run, and looks that are made of such answers alone.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use quorate::fleet::FleetError;
use quorate::plan::{Blocked, ClockOffset, Observed, Plan};
use quorate::run::machine::{
    Barred, Call, Described, Effect, Goals, Input, Look, Seen, Survey, Target, Turn,
};
use quorate_proto::{Finding, NodeName, OperationId, RunId, StepId, Term};

use super::random::Random;
use super::rules::{Lenient, Rules};
use super::world::SimCluster;

/// A question that a node has not answered.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Describe { node: NodeName, claim: Option<Term> },
    Check { node: NodeName, goals: Goals },
}

impl Question {
    pub(super) fn node(&self) -> &NodeName {
        match self {
            Self::Describe { node, .. } | Self::Check { node, .. } => node,
        }
    }
}

/// The run that asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub run: RunId,
    pub rules: Rules,
    /// Steps whose nodes claimed success, where exit codes are believed.
    pub claimed: BTreeSet<StepId>,
}

impl Asker {
    pub(super) fn new(run: RunId, rules: Rules) -> Self {
        Self { run, rules, claimed: BTreeSet::new() }
    }

    /// What the run is to bring about.
    pub(super) fn target(&self, world: &SimCluster) -> Arc<Target> {
        let planner = Lenient { procedure: world.procedure.clone(), rules: self.rules };
        Arc::new(Target { spec: world.spec.clone(), planner: Box::new(planner) })
    }

    /// What the node answers now.
    pub(super) fn answer(&self, world: &mut SimCluster, call: Call, question: Question) -> Input {
        match question {
            Question::Describe { node, claim } => {
                Input::Described { call, answer: self.describe(world, node, claim.as_ref()) }
            }
            Question::Check { node, goals } => {
                Input::Checked { call, answer: self.check(world, node, &goals) }
            }
        }
    }

    fn describe(
        &self,
        world: &mut SimCluster,
        node: NodeName,
        claim: Option<&Term>,
    ) -> Result<Described, FleetError> {
        if !world.answers(&self.run, &node) {
            return Err(FleetError::Silent { node, why: "no route to host".to_owned() });
        }
        let sim = world.node_mut(&node);
        if let Some(claim) = claim.filter(|_| self.rules.claims) {
            if sim.disk_full && sim.term != *claim {
                let why = "the ledger cannot be written".to_owned();
                return Err(FleetError::Refused { node, why });
            }
            if claim.obeyed_after(&sim.term) {
                sim.term = claim.clone();
                // A wait of an earlier run ends with the claim of another.
                let abandoned = sim.operation.take_if(|operation| {
                    operation.goal.is_awaited() && operation.term.run != claim.run
                });
                if let Some(operation) = abandoned {
                    world.conclude(&node, operation);
                }
            } else if self.rules.terms {
                return Err(FleetError::Superseded { node, term: sim.term.clone() });
            }
        }
        let clock = ClockOffset::exactly(world.node(&node).clock_offset_ms);
        let mut facts = world.facts(&node);
        if !self.rules.running_first {
            facts.under_way = None;
        }
        if let Some(etcd) = facts.etcd.as_mut().filter(|_| !self.rules.membership_gate) {
            etcd.leader = etcd.members.first().map(|member| member.id);
            etcd.members.retain(|member| !member.learner);
            etcd.members.iter_mut().for_each(|member| member.healthy = true);
        }
        Ok(Described { facts: Box::new(facts), clock })
    }

    fn check(
        &self,
        world: &SimCluster,
        node: NodeName,
        goals: &Goals,
    ) -> Result<Vec<Finding>, FleetError> {
        if !world.answers(&self.run, &node) {
            let why = "it fell silent between two questions".to_owned();
            return Err(FleetError::Silent { node, why });
        }
        let findings = goals.steps().map(|step| {
            if self.claimed.contains(&step.id) {
                Finding::Satisfied
            } else {
                world.check(&node, &step.goal)
            }
        });
        Ok(findings.collect())
    }
}

/// The questions that a turn asks.
pub(super) fn questions(effects: Vec<Effect>) -> impl Iterator<Item = (Call, Question)> {
    effects.into_iter().filter_map(|effect| match effect {
        Effect::Describe { call, node, claim } => Some((call, Question::Describe { node, claim })),
        Effect::Check { call, node, goals } => Some((call, Question::Check { node, goals })),
        Effect::Send { .. } | Effect::HangUp { .. } | Effect::Record(_) => None,
    })
}

/// Observes and plans, while nothing else happens.
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
    let asker = Asker::new(claim.map(|term| term.run.clone()).unwrap_or_default(), rules);
    let mut no_operation = || OperationId(String::new());
    let mut turn = Turn::new(0, 0, &mut no_operation);
    let mut look = Look::begin(asker.target(world), claim.cloned(), BTreeSet::new(), &mut turn);
    let mut asked: VecDeque<_> = questions(std::mem::take(&mut turn.effects)).collect();
    loop {
        // All were asked at once: any may be the next to answer.
        let next = asked.swap_remove_back(random.below(asked.len()));
        let (call, question) = next.expect("a look asks until it is over");
        let seen = look.handle(asker.answer(world, call, question), false, &mut turn);
        asked.extend(questions(std::mem::take(&mut turn.effects)));
        match seen {
            None => {}
            Some(Seen::Drawn(drawn)) => return Ok(drawn.plan),
            Some(Seen::Barred(Barred::Plan(blocked))) => return Err(blocked),
            Some(seen @ (Seen::Barred(_) | Seen::Superseded { .. })) => panic!("{seen:?}"),
        }
    }
}

/// Asks every node what it is and holds.
pub fn observe(world: &mut SimCluster, rules: Rules) -> Observed {
    let asker = Asker::new(RunId::default(), rules);
    let mut survey = Survey::default();
    for node in world.spec.nodes.clone() {
        let answer = asker.describe(world, node.name.clone(), None);
        survey.take(node.name, answer);
    }
    survey.observed
}
