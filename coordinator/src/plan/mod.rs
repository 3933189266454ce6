//! Plans: which of a procedure's steps are left, and what stands against them. Pure: values in, values
//! out.
//!
//! `draft` collects the steps that a procedure lists; `pending` keeps those that are left; `quorum`
//! projects memberships.

mod blocked;
mod draft;
mod guard;
mod lanes;
mod left;
mod machines;
mod membership;
mod pending;
mod quorum;
mod rolling;
mod standing;

use std::collections::BTreeMap;

pub use blocked::{Blocked, MemberAt};
pub(crate) use draft::Draft;
pub use guard::immutable::Edit;
pub(crate) use guard::immutable::check as check_immutable;
pub use left::{HeldSlot, Holder, Left, Plan, Tolerance, Warning, Withheld};
pub(crate) use machines::check as check_machines;
pub(crate) use membership::{is_of, view as etcd_view};
pub use pending::pending;
use quorate_proto::goal::{ClusterGoal, EtcdGoal, Lifetime, Material};
use quorate_proto::{EtcdFacts, Facts, Finding, Goal, NodeFacts, NodeName, StepId};
pub(crate) use quorum::is_unfinished;
pub use quorum::{Change, Count, Projection, Refusal, project};
use serde::{Deserialize, Serialize};
pub(crate) use standing::Standing;

/// A node, what must hold there, and what has to hold before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    pub goal: Goal,
    /// Steps of the same outline that must hold first.
    pub after: Vec<StepId>,
    pub lane: Lane,
    /// What people should know that it interrupts, such as "restarts containerd".
    pub restarts: Option<String>,
    /// What it brings about is for the time of a run. An offer is left to do exactly while a step
    /// that names it in `after`, and is not transient itself, is left to do; its withdrawal is left
    /// to do with it, and whenever a withdrawal's own check finds an offer left over.
    pub transient: bool,
    /// Seconds after which a person would want to know why it still runs.
    pub deadline_s: u64,
}

impl Step {
    /// Whether the order for this step must carry join material.
    pub fn needs_material(&self) -> bool {
        self.goal.material() != Material::None
    }

    /// The node that it takes out of the cluster, in part or altogether.
    fn removes(&self) -> Option<&NodeName> {
        if let Goal::Etcd(EtcdGoal::EtcdMemberRemoved(removal)) = &self.goal {
            return Some(&removal.node);
        }
        let Goal::Cluster(ClusterGoal::NodeRemoved(removal)) = &self.goal else { return None };
        Some(&removal.node)
    }

    /// Whether it clears away what the steps before it needed: it runs when they are over, also
    /// where some of them failed.
    pub fn clears(&self) -> bool {
        self.goal.traits().lifetime == Lifetime::Cleanup
    }
}

/// At most `width` steps of one name at once, over the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lane {
    /// No limit but one operation a node.
    Free,
    /// Changes of etcd's membership: one at a time.
    Membership,
    /// Workers joining.
    WorkerJoins { width: usize },
}

/// What one round of Describe gave: every node of the specification, silent ones too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    pub nodes: BTreeMap<NodeName, Sight>,
}

impl Observed {
    /// The facts of a node that answered.
    pub fn facts(&self, node: &NodeName) -> Option<&Facts> {
        match self.nodes.get(node)? {
            Sight::Seen { facts, .. } => Some(facts),
            Sight::Silent { .. } => None,
        }
    }

    /// Why a node did not answer. One that was not asked is silent too.
    pub fn silence(&self, node: &NodeName) -> Option<&str> {
        match self.nodes.get(node) {
            Some(Sight::Seen { .. }) => None,
            Some(Sight::Silent { why }) => Some(why),
            None => Some("it was not asked"),
        }
    }

    /// Each node that did not answer, and why.
    pub fn silent(&self) -> impl Iterator<Item = (&NodeName, &str)> {
        self.nodes.keys().filter_map(|node| Some((node, self.silence(node)?)))
    }

    /// The cluster's nodes, by the word of an API server; empty where none answers.
    pub fn cluster_nodes(&self) -> &[NodeFacts] {
        let told = |node| self.facts(node)?.nodes.as_deref();
        self.nodes.keys().find_map(told).unwrap_or_default()
    }

    /// Whether a node is Ready, by the word of an API server: then its join is over.
    pub(crate) fn is_ready(&self, node: &NodeName) -> bool {
        self.cluster_nodes().iter().any(|known| known.name == node.as_str() && known.ready)
    }

    /// Nodes of the cluster that the specification does not have.
    pub fn unspecified(&self) -> impl Iterator<Item = &NodeFacts> {
        let named = |node: &&NodeFacts| self.nodes.keys().any(|name| name.as_str() == node.name);
        self.cluster_nodes().iter().filter(move |node| !named(node))
    }

    /// What a member of etcd says of all: the most telling answer is one with a leader, and then the
    /// longest.
    pub fn etcd(&self) -> Option<(&NodeName, &EtcdFacts)> {
        let told = |node| Some((node, self.facts(node)?.etcd.as_ref()?));
        let answers = self.nodes.keys().filter_map(told);
        answers.max_by_key(|(_, facts)| (facts.leader.is_some(), facts.members.len()))
    }
}

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    Seen {
        facts: Box<Facts>,
        clock: ClockOffset,
    },
    /// It does not answer; it may be doing anything.
    Silent {
        why: String,
    },
}

/// How far a node's clock is ahead of the coordinator's, in milliseconds: somewhere in between, as
/// the node looked at its clock at some time between the question and the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockOffset {
    pub least_ms: i64,
    pub most_ms: i64,
}

impl ClockOffset {
    /// An offset that is known.
    pub fn exactly(ms: i64) -> Self {
        Self { least_ms: ms, most_ms: ms }
    }

    /// What it is at least: a slow answer is no wrong clock.
    pub fn certain_ms(&self) -> i64 {
        if self.least_ms > 0 { self.least_ms } else { self.most_ms.min(0) }
    }
}

/// Every step that the specification asks for, in an order that respects `after`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    pub steps: Vec<Step>,
}

impl Outline {
    /// Steps whose goals do not hold on nodes that answer. An offer that nobody needs is no drift.
    pub fn differing<'a>(
        &'a self,
        findings: &'a Findings,
    ) -> impl Iterator<Item = (&'a Step, &'a Finding)> {
        let lasting = self.steps.iter().filter(|step| !step.transient || step.clears());
        let found = lasting.filter_map(|step| Some((step, findings.get(&step.id)?)));
        found.filter(|(_, finding)| !finding.is_satisfied())
    }
}

/// What one round of Check gave, for the steps of nodes that answered.
pub type Findings = BTreeMap<StepId, Finding>;
