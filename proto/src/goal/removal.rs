//! Goals of taking a node out of the cluster. No bring-up has them: a person asked for the one node.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::kubeadm::KubeNode;
use crate::id::NodeName;

/// A member of etcd that is to go, exactly as the plan saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRemoval {
    /// The control plane that asks etcd for it: one that stays.
    pub on: KubeNode,
    /// The node that the member belonged to.
    pub node: NodeName,
    pub id: u64,
    /// The member with this id must still have this address.
    pub peer_url: String,
    /// Whether it may go although it is healthy. Otherwise one that has come back stays.
    pub alive: bool,
}

impl fmt::Display for MemberRemoval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:x}, {})", self.node, self.id, self.peer_url)
    }
}

/// A node that is to leave Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRemoval {
    pub node: NodeName,
    /// Whether it may go although it is Ready. Otherwise one that has come back stays.
    pub alive: bool,
}
