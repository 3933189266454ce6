//! A plan: what is left to do. It is data, which can be printed, compared and stored, and nothing secret is in it.

use std::collections::BTreeMap;

use quorate_proto::{Finding, GoalId, NodeName, StepId, UnderWay};
use serde::{Deserialize, Serialize};

use super::quorum::Count;
use super::{Lane, Step};

/// What is left to do, and what stands in its way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In an order that respects `after`, which names steps of this plan alone.
    pub steps: Vec<Left>,
    /// Steps of the outline that hold already.
    pub holding: Vec<StepId>,
    /// Steps that cannot be done in this run. A run that leaves any ends with exit code 1.
    pub withheld: Vec<Withheld>,
    /// Operations that nodes have begun and not ended. The run starts from these.
    pub under_way: BTreeMap<NodeName, UnderWay>,
    /// Places in lanes that are taken before the first order is sent.
    pub held: Vec<HeldSlot>,
    /// What etcd can bear; `None` where its membership stays as it is.
    pub tolerance: Option<Tolerance>,
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Whether all that the specification asks for holds.
    pub fn is_complete(&self) -> bool {
        self.steps.is_empty() && self.withheld.is_empty() && self.under_way.is_empty()
    }
}

/// A step that is left, and what its node found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    pub step: Step,
    pub finding: Finding,
}

/// A step that waits for a node that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub step: StepId,
    /// The silent node: the step's own, or one that a step before it is on.
    pub silent: NodeName,
}

/// A place in a lane that someone has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldSlot {
    pub lane: Lane,
    pub node: NodeName,
    pub by: Holder,
}

/// Why a place is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// The node does not answer: it may be at it at this very moment.
    Silence,
    /// The node is at it.
    Operation,
}

/// Members of etcd before the plan and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    pub before: Count,
    pub after: Count,
}

/// What a person should know before the plan is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    #[error("{node} does not answer ({why}): its steps are left out")]
    Silent { node: NodeName, why: String },
    #[error(
        "{node} does not answer and may be joining etcd at this moment: no control plane joins \
         until it is back or out of the specification"
    )]
    MembershipHeld { node: NodeName },
    #[error(
        "{} may be joining at this moment, and no more workers than that join at once: no other \
         joins until they are back or out of the specification",
        nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
    )]
    WorkerJoinsHeld { nodes: Vec<NodeName> },
    #[error(
        "node {node} is in the cluster ({}) and not in cluster.yaml: put it back into the file, or run `quorate \
         node remove {node}`", if *ready { "Ready" } else { "not Ready" }
    )]
    Unspecified { node: String, ready: bool },
    #[error("{node} is still {} for an earlier run; this run follows it", goal.doing())]
    UnderWay { node: NodeName, goal: GoalId },
    #[error(
        "nothing is done on the machine of {node}: if it runs, or ever starts again, run `kubeadm \
         reset` there, so that what it holds of the cluster is in nobody's way"
    )]
    MachineKept { node: NodeName },
}
