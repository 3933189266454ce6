//! A look at all nodes, one answer an event: Describe, then Check of every goal, then the plan. The
//! world goes on between the answers.

use std::collections::BTreeMap;

use quorate::plan::{
    Blocked, ClockOffset, Findings, Holder, Lane, Observed, Outline, Plan, Sight, pending,
};
use quorate_proto::{NodeName, RunId, Term};

use super::random::Random;
use super::rules::Rules;
use super::world::SimCluster;

/// A look that is not over.
#[derive(Debug, Clone)]
pub(super) struct Look {
    run: RunId,
    rules: Rules,
    /// The term with which the nodes are claimed.
    claim: Option<Term>,
    observed: Observed,
    outline: Option<Outline>,
    /// Where in the outline each node has its steps.
    steps: BTreeMap<NodeName, Vec<usize>>,
    findings: Findings,
    /// Nodes that have not answered yet.
    ask: Vec<NodeName>,
    superseded: bool,
}

/// What a look gave.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    Plan(Box<Plan>),
    Blocked(Blocked),
    /// A node obeys a newer run than the one that claims it.
    Superseded,
}

impl Look {
    pub(super) fn new(world: &SimCluster, run: &RunId, rules: Rules, claim: Option<Term>) -> Self {
        Self {
            run: run.clone(),
            rules,
            claim,
            observed: Observed::default(),
            outline: None,
            steps: BTreeMap::new(),
            findings: Findings::new(),
            ask: world.spec.nodes.iter().map(|node| node.name.clone()).collect(),
            superseded: false,
        }
    }

    /// The newest term that a node told of.
    pub(super) fn newest_term(&self) -> u64 {
        let facts = self.observed.nodes.keys().filter_map(|node| self.observed.facts(node));
        facts.map(|facts| facts.term.number).max().unwrap_or_default()
    }

    /// One node answers, or what all have answered is put together.
    pub(super) fn step(&mut self, world: &mut SimCluster, random: &mut Random) -> Option<Seen> {
        if !self.ask.is_empty() {
            // All were asked at once: any may be the next to answer.
            let node = self.ask.swap_remove(random.below(self.ask.len()));
            self.ask_one(world, node);
            return None;
        }
        if self.outline.is_none() {
            if self.superseded {
                return Some(Seen::Superseded);
            }
            return self.begin_checks(world).err().map(Seen::Blocked);
        }
        Some(self.plan().map_or_else(Seen::Blocked, |plan| Seen::Plan(Box::new(plan))))
    }

    /// All that were asked answer, whether or not the coordinator goes on to listen.
    pub(super) fn hasten(&mut self, world: &mut SimCluster) {
        for node in std::mem::take(&mut self.ask) {
            self.ask_one(world, node);
        }
    }

    /// What the nodes told, once all have.
    pub(super) fn into_observed(self) -> Observed {
        self.observed
    }

    /// Whether all nodes were asked what they are and hold.
    pub(super) fn is_described(&self) -> bool {
        self.ask.is_empty() || self.outline.is_some()
    }

    fn ask_one(&mut self, world: &mut SimCluster, node: NodeName) {
        if self.outline.is_none() {
            let sight = self.describe(world, &node);
            self.observed.nodes.insert(node, sight);
        } else {
            self.check(world, node);
        }
    }

    fn describe(&mut self, world: &mut SimCluster, node: &NodeName) -> Sight {
        if !world.answers(&self.run, node) {
            return Sight::Silent { why: "no route to host".to_owned() };
        }
        let sim = world.node_mut(node);
        if let Some(claim) = self.claim.as_ref().filter(|_| self.rules.claims) {
            if sim.disk_full && sim.term != *claim {
                return Sight::Silent { why: "the ledger cannot be written".to_owned() };
            }
            if claim.obeyed_after(&sim.term) {
                sim.term = claim.clone();
            } else if self.rules.terms {
                self.superseded = true;
                return Sight::Silent { why: "it obeys a newer run".to_owned() };
            }
        }
        let clock = ClockOffset::exactly(sim.clock_offset_ms);
        let mut facts = world.facts(node);
        if !self.rules.running_first {
            facts.under_way = None;
        }
        if let Some(etcd) = facts.etcd.as_mut().filter(|_| !self.rules.membership_gate) {
            etcd.leader = etcd.members.first().map(|member| member.id);
            etcd.members.retain(|member| !member.learner);
            etcd.members.iter_mut().for_each(|member| member.healthy = true);
        }
        Sight::Seen { facts: Box::new(facts), clock }
    }

    fn begin_checks(&mut self, world: &SimCluster) -> Result<(), Blocked> {
        let found = if self.rules.founding_guard {
            world.procedure.outline(&world.spec, &self.observed)?
        } else {
            let mut spec = world.spec.clone();
            spec.nodes.retain(|node| self.observed.silence(&node.name).is_none());
            world.procedure.outline(&spec, &self.observed)?
        };
        for (at, step) in found.steps.iter().enumerate() {
            match self.steps.get_mut(&step.id.node) {
                Some(steps) => steps.push(at),
                None => drop(self.steps.insert(step.id.node.clone(), vec![at])),
            }
        }
        self.outline = Some(found);
        let seen = |node: &&NodeName| self.observed.facts(node).is_some();
        self.ask = self.observed.nodes.keys().filter(seen).cloned().collect();
        Ok(())
    }

    fn check(&mut self, world: &SimCluster, node: NodeName) {
        if !world.answers(&self.run, &node) {
            let why = "it fell silent between two questions".to_owned();
            self.observed.nodes.insert(node, Sight::Silent { why });
            return;
        }
        let steps = self.outline.as_ref().map_or(&[][..], |outline| &outline.steps);
        let ours = self.steps.get(&node).into_iter().flatten();
        for step in ours.filter_map(|at| steps.get(*at)) {
            self.findings.insert(step.id.clone(), world.check(&node, &step.goal));
        }
    }

    fn plan(&self) -> Result<Plan, Blocked> {
        let none = Outline::default();
        let outline = self.outline.as_ref().unwrap_or(&none);
        let mut plan = pending(outline, &self.findings, &self.observed)?;
        if !self.rules.silent_slots {
            plan.held.retain(|slot| slot.by != Holder::Silence);
        }
        if !self.rules.membership_lane {
            let steps = plan.steps.iter_mut().map(|left| &mut left.step);
            steps.filter(|step| step.lane == Lane::Membership).for_each(|step| {
                step.lane = Lane::Free;
            });
        }
        Ok(plan)
    }
}
