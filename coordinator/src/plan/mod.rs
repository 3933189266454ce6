//! Plans: which steps a specification asks for, and which of them are left. Pure: values in, values out.

use std::collections::BTreeMap;

use quorate_proto::{Facts, Finding, Goal, NodeName, StepId};
use serde::{Deserialize, Serialize};

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
    /// A transient step is left to do exactly while a step that comes after it, directly or not,
    /// and is not transient itself, is left to do.
    pub transient: bool,
    /// Seconds after which a person would want to know why it still runs.
    pub deadline_s: u64,
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

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    Seen(Box<Facts>),
    /// It does not answer; it may be doing anything.
    Silent {
        why: String,
    },
}

/// Every step that the specification asks for, in an order that respects `after`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    pub steps: Vec<Step>,
}

/// What one round of Check gave, for the steps of nodes that answered.
pub type Findings = BTreeMap<StepId, Finding>;
