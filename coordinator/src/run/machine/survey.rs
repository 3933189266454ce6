//! A look at all nodes, put together from their answers: Describe, then Check of every goal, then
//! the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use quorate_proto::{Facts, Finding, NodeName, Term};

use super::effect::Goals;
use super::look::Planner;
use crate::fleet::FleetError;
use crate::plan::{Blocked, ClockOffset, Findings, Observed, Outline, Plan, Sight};
use crate::run::Silent;
use crate::spec::ClusterSpec;

/// A node's answer to Describe.
#[derive(Debug, Clone)]
pub struct Described {
    pub facts: Box<Facts>,
    pub clock: ClockOffset,
}

/// What one round of Describe gave.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    pub observed: Observed,
    /// Nodes at whose address someone else answers: no plan can be made past them.
    pub strangers: Vec<(NodeName, String)>,
    /// Nodes whose audit log is not the one that was seen before; each reason says what to do.
    pub distrusted: Vec<(NodeName, String)>,
    /// A node that obeys a newer run than the one that claims it.
    pub superseded: Option<(NodeName, Term)>,
}

/// Why a plan must not be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// The facts leave a decision to a person.
    Plan(Blocked),
    /// Someone else answers for a node, or a node that should not be trusted.
    Strangers(Vec<String>),
}

impl Barred {
    /// Each says what to do.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Plan(blocked) => blocked.reasons(),
            Self::Strangers(reasons) => reasons.clone(),
        }
    }
}

impl Survey {
    /// Takes the answer of one node.
    pub fn take(&mut self, node: NodeName, answer: Result<Described, FleetError>) {
        let sight = match answer {
            Ok(Described { facts, clock }) => Sight::Seen { facts, clock },
            Err(FleetError::Stranger { node, why }) => {
                self.strangers.push((node, why.clone()));
                self.strangers.sort();
                Sight::Silent { why: format!("someone else answers there: {why}") }
            }
            Err(FleetError::Distrusted { node, why }) => {
                self.distrusted.push((node, why.clone()));
                self.distrusted.sort();
                Sight::Silent { why }
            }
            Err(error) => {
                if let FleetError::Superseded { node, term } = &error {
                    self.superseded = Some((node.clone(), term.clone()));
                }
                Sight::Silent { why: error.why() }
            }
        };
        self.observed.nodes.insert(node, sight);
    }

    /// What stands against a plan where someone else answers, or a node that should not be trusted.
    /// Each reason says itself what to do.
    pub fn strangers_told(&self, spec: &ClusterSpec) -> Vec<String> {
        let reason = |(node, why): &(NodeName, String)| {
            let known = spec.nodes.iter().find(|known| known.name == *node);
            let at = known.map(|known| SocketAddr::new(known.address, known.agent_port));
            let at = at.map(|at| format!(", {at}")).unwrap_or_default();
            format!("someone else than {node} answers at its address{at}: {why}")
        };
        let distrusted = self.distrusted.iter().map(|(_, why)| why.clone());
        self.strangers.iter().map(reason).chain(distrusted).collect()
    }

    /// What is to be checked next.
    pub fn checks(self, spec: &ClusterSpec, planner: &dyn Planner) -> Result<Checks, Barred> {
        let against = self.strangers_told(spec);
        if !against.is_empty() {
            return Err(Barred::Strangers(against));
        }
        let observed = self.observed;
        let outline = planner.outline(spec, &observed).map_err(Barred::Plan)?;
        let mut at_node: BTreeMap<&NodeName, Vec<usize>> = BTreeMap::new();
        for (at, step) in outline.steps.iter().enumerate() {
            if observed.facts(&step.id.node).is_some() {
                at_node.entry(&step.id.node).or_default().push(at);
            }
        }
        let places = at_node.into_iter().map(|(node, at)| (node.clone(), at.into())).collect();
        Ok(Checks { outline: Arc::new(outline), places, observed, findings: Findings::new() })
    }
}

/// The goals of a procedure, of which some have been checked.
#[derive(Debug, Clone)]
pub struct Checks {
    outline: Arc<Outline>,
    /// Where in the outline each node that was seen has its steps.
    places: BTreeMap<NodeName, Arc<[usize]>>,
    observed: Observed,
    findings: Findings,
}

/// What there is to check, what was found of it, and the nodes as they are by then.
pub type Checked = (Outline, Findings, Observed);

/// What one look at all nodes gave.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub observed: Observed,
    pub outline: Arc<Outline>,
    pub findings: Findings,
    pub plan: Plan,
}

impl Checks {
    /// The goals of each node that was seen: one call a node, all at once.
    pub fn questions(&self) -> impl Iterator<Item = (NodeName, Goals)> {
        self.places.iter().map(|(node, at)| {
            (node.clone(), Goals::of_outline(Arc::clone(&self.outline), Arc::clone(at)))
        })
    }

    /// Takes the answer of one node. One that fell silent in between counts as silent.
    pub fn take(&mut self, node: NodeName, answer: Result<Vec<Finding>, FleetError>) {
        match answer {
            Ok(findings) => {
                let at = self.places.get(&node).into_iter().flat_map(|at| at.iter());
                let ids = at.filter_map(|at| self.outline.steps.get(*at)).map(|step| &step.id);
                self.findings.extend(ids.cloned().zip(findings));
            }
            Err(error) => {
                self.observed.nodes.insert(node, Sight::Silent { why: error.why() });
            }
        }
    }

    /// Works out what is left, or why that must not be begun.
    pub fn draw_up(self, planner: &dyn Planner) -> Result<Drawn, Barred> {
        let Self { outline, observed, findings, .. } = self;
        let plan = planner.pending(&outline, &findings, &observed).map_err(Barred::Plan)?;
        Ok(Drawn { observed, outline, findings, plan })
    }

    /// What was found.
    pub fn checked(self) -> Checked {
        (Arc::unwrap_or_clone(self.outline), self.findings, self.observed)
    }
}

/// Nodes that did not answer, as far as they are `wanted`.
pub(super) fn silent(observed: &Observed, wanted: impl Fn(&NodeName) -> bool) -> Vec<Silent> {
    let silent = observed.silent().filter(|(node, _)| wanted(node));
    silent.map(|(node, why)| Silent { node: node.clone(), why: why.to_owned() }).collect()
}

/// Nodes that answered.
pub(super) fn answering(observed: &Observed) -> BTreeSet<NodeName> {
    let nodes = observed.nodes.keys();
    nodes.filter(|node| observed.facts(node).is_some()).cloned().collect()
}
