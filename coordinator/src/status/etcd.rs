//! etcd's members as one of them sees all.

use quorate_proto::{EtcdMember, NodeName};
use serde::Serialize;

use crate::plan::{Count, MemberAt, Observed, is_of, is_unfinished};
use crate::spec::{ClusterSpec, Role};

/// etcd's membership and what it bears.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EtcdStatus {
    /// The node whose member was asked.
    pub seen_from: NodeName,
    /// The leader's name; `None`: writes stand still.
    pub leader: Option<String>,
    pub count: Count,
    /// How many voters may fail further before writes stop.
    pub tolerance: usize,
    pub members: Vec<MemberStatus>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// In hexadecimal, as etcdctl prints it and takes it.
    pub id: String,
    /// Empty until it has started for the first time.
    pub name: String,
    pub peer_urls: Vec<String>,
    pub state: MemberState,
    pub leader: bool,
    pub healthy: bool,
    /// The control plane of the specification that it is of.
    pub node: Option<NodeName>,
    /// The same member as a plan names it.
    #[serde(skip)]
    pub(super) at: MemberAt,
}

/// How far a member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Added and never started.
    Unstarted,
    /// It follows, and does not vote yet.
    Learner,
    Voter,
}

impl EtcdStatus {
    /// By the word of the member that knows most; `None` where none answers.
    pub(super) fn of(spec: &ClusterSpec, observed: &Observed) -> Option<Self> {
        let (seen_from, facts) = observed.etcd()?;
        let count = Count::of(facts);
        let member = |member: &EtcdMember| {
            let mut planes = spec.with_role(Role::ControlPlane);
            let node = planes.find(|node| is_of(member, &node.name, node.address));
            let node = node.map(|node| &node.name);
            MemberStatus {
                id: format!("{:x}", member.id),
                name: member.name.clone(),
                peer_urls: member.peer_urls.clone(),
                state: state(member),
                leader: facts.leader == Some(member.id),
                healthy: member.healthy,
                node: node.cloned(),
                at: MemberAt::new(member, node),
            }
        };
        let members: Vec<MemberStatus> = facts.members.iter().map(member).collect();
        let leader = members.iter().find(|member| member.leader);
        Some(Self {
            seen_from: seen_from.clone(),
            leader: leader.map(|member| member.name.clone()),
            count,
            tolerance: count.tolerance(),
            members,
        })
    }

    /// The member of a control plane.
    pub(super) fn member(&self, node: &NodeName) -> Option<&MemberStatus> {
        self.members.iter().find(|member| member.node.as_ref() == Some(node))
    }
}

impl MemberStatus {
    /// What to call it in a sentence: by its node, its name, or where it is to be.
    pub fn label(&self) -> &str {
        let known = self.node.as_ref().map(NodeName::as_str);
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        let url = || self.peer_urls.first().map(String::as_str);
        known.or(name).or_else(url).unwrap_or("a member without a name")
    }

    /// Whether nothing more is to be done about it.
    pub(super) fn is_sound(&self) -> bool {
        self.state == MemberState::Voter && self.healthy
    }
}

fn state(member: &EtcdMember) -> MemberState {
    if !is_unfinished(member) {
        MemberState::Voter
    } else if member.name.is_empty() {
        MemberState::Unstarted
    } else {
        MemberState::Learner
    }
}
