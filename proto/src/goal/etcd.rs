//! Goals of etcd and its membership.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::kubeadm::KubeNode;
use super::validate::{Invalid, url};
use crate::id::NodeName;

/// A goal of etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtcdGoal {
    /// The node's own member votes; kubeadm's phase `etcd-join` makes it.
    EtcdMember(KubeNode),
    /// etcd's voters are exactly the control planes, all healthy, of one leader.
    EtcdHealthy(KubeNode),
    /// etcd has this member no more. A person asked for it.
    EtcdMemberRemoved(MemberRemoval),
}

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

impl EtcdGoal {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::EtcdMember(on) | Self::EtcdHealthy(on) => on.validate(),
            Self::EtcdMemberRemoved(goal) => {
                let MemberRemoval { on, node: _, id: _, peer_url, alive: _ } = goal;
                on.validate()?;
                url("the peer address", peer_url)
            }
        }
    }
}
