//! Goals of the cluster as a whole; any control plane can bring them about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::grammar as is;
use super::kubeadm::KubeNode;
use super::validate::{Invalid, at_most, text};
use crate::digest::Sha256;
use crate::id::NodeName;

/// A goal of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterGoal {
    ClusterConfig(KubeNode),
    JoinAccess(KubeNode),
    Addons(KubeNode),
    /// A bootstrap token, and the sealed certificates where control planes will join.
    JoinOffered(Offer),
    /// No token and no certificates of ours are in the cluster.
    JoinWithdrawn(KubeNode),
    Network(Manifest),
    /// These nodes are Ready. One goal for all of them, as one look at the cluster tells.
    NodesReady(BTreeSet<NodeName>),
    /// Every static pod, addon and network pod in kube-system and the plugin's namespace is ready.
    SystemPodsReady,
    /// `/readyz` answers through the cluster's endpoint, and it is this cluster that answers.
    EndpointReady(KubeNode),
    /// The cluster's DNS answers for `kubernetes.default.svc`.
    ClusterDns(KubeNode),
    /// The Node object is gone, and so are its pods in kube-system. A person asked for it.
    NodeRemoved(NodeRemoval),
    NodeScheduling(Scheduling),
}

/// The cluster lets nodes join, by the material that came with the order.
///
/// Transient: it holds while joins are under way and is withdrawn after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub on: KubeNode,
    /// Control planes will join: the shared certificates are offered too.
    pub certificates: bool,
}

/// The objects of a manifest exist in the cluster as it has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it installs, such as `flannel`.
    pub name: String,
    /// YAML, one or more documents.
    pub yaml: String,
    /// Of `yaml`; the cluster remembers which manifest was applied by it.
    pub sha256: Sha256,
}

/// A node that is to leave Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRemoval {
    pub node: NodeName,
    /// Whether it may go although it is Ready. Otherwise one that has come back stays.
    pub alive: bool,
}

/// Whether a node takes new pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduling {
    pub node: NodeName,
    /// The field of the Node object's spec.
    pub unschedulable: bool,
}

impl Scheduling {
    pub(super) fn label(&self) -> String {
        let state = if self.unschedulable { "unschedulable" } else { "schedulable" };
        format!("{} as {state}", self.node)
    }
}

impl ClusterGoal {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::JoinOffered(Offer { on, certificates: _ })
            | Self::ClusterConfig(on)
            | Self::JoinAccess(on)
            | Self::Addons(on)
            | Self::JoinWithdrawn(on)
            | Self::EndpointReady(on)
            | Self::ClusterDns(on) => on.validate(),
            Self::Network(goal) => goal.validate(),
            Self::NodesReady(nodes) => at_most(is::NODES, "the list of nodes", nodes.len()),
            Self::SystemPodsReady | Self::NodeRemoved(_) | Self::NodeScheduling(_) => Ok(()),
        }
    }
}

impl Manifest {
    fn validate(&self) -> Result<(), Invalid> {
        let Self { name, yaml, sha256 } = self;
        text("the manifest's name", name, is::label(name), "a DNS label")?;
        let good = is::lines(yaml, is::MANIFEST);
        text("the manifest", yaml, good, "a text of at most 3 MiB without control characters")?;
        let same = Sha256::of(yaml.as_bytes()) == *sha256;
        if same { Ok(()) } else { Err(Invalid::Digest(name.clone())) }
    }
}
