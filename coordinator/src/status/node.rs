//! One node: how far it has come in the bring-up, and what it is at.

use std::net::IpAddr;

use quorate_proto::{Facts, GoalId, KubernetesFacts, NodeName, OperationId, Term, UnderWay};
use serde::Serialize;

use super::Runs;
use super::etcd::{EtcdStatus, MemberState};
use crate::plan::{Observed, Sight};
use crate::spec::{NodeSpec, Role};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    pub node: NodeName,
    pub address: IpAddr,
    pub roles: Vec<Role>,
    pub stage: Stage,
    /// Why it does not answer.
    pub silent: Option<String>,
    pub under_way: Option<OperationStatus>,
    /// Whether Kubernetes counts it as Ready; `None` where no API server answers, or it is no node there.
    pub ready: Option<bool>,
    /// How far its clock is ahead of the coordinator's.
    pub clock_offset_ms: Option<i64>,
    pub facts: Option<Facts>,
}

/// How far a node has come, in the order of the bring-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// It does not answer: it may be anywhere.
    Silent,
    /// It answers, and its facts tell no more: it only balances the load.
    LoadBalancer,
    /// No kubelet is installed.
    Bare,
    /// The packages are there, and nothing of a cluster.
    Installed,
    /// It has certificates of the cluster.
    Certified,
    /// A founder that has its kubeconfigs.
    Configured,
    /// A worker's kubelet was started and has no certificate yet.
    Joining,
    /// The control plane's pods are in place; etcd knows of no member here, or nobody can tell.
    PodsInPlace,
    /// A member was added for it and never started.
    MemberUnstarted,
    /// Its member follows and does not vote yet.
    Learner,
    /// It has the data of a member that etcd does not know any more.
    MemberRemoved,
    /// Its member votes and is not healthy, or is silent.
    MemberDown,
    /// Its member is healthy; no API server's pod is in place.
    NoApiServer,
    /// A worker whose kubelet has its certificate.
    Joined,
    /// Its member votes and is healthy, and its API server's pod is in place.
    Serves,
}

/// An operation that a node is at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationStatus {
    pub operation: OperationId,
    pub goal: GoalId,
    /// The goal in words: "joining etcd".
    pub doing: String,
    pub term: Term,
    pub by: Whose,
    /// Since 1970, by the coordinator's clock.
    pub since_ms: u64,
    pub for_ms: u64,
}

/// What is known of the run that an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// It goes on from this state folder.
    Running,
    /// It was made from this state folder, and is over or was cut off.
    Over,
    /// It was made by another coordinator, or is not recorded any more.
    Other,
}

impl NodeStatus {
    pub(super) fn of(
        node: &NodeSpec,
        observed: &Observed,
        etcd: Option<&EtcdStatus>,
        runs: &Runs,
        now_ms: u64,
    ) -> Self {
        let known = observed.cluster_nodes().iter().find(|known| known.name == node.name.as_str());
        let ready = known.map(|known| known.ready);
        let (stage, silent, seen) = match observed.nodes.get(&node.name) {
            Some(Sight::Seen { facts, clock }) => {
                (stage(node, facts, etcd), None, Some((facts, clock)))
            }
            Some(Sight::Silent { why }) => (Stage::Silent, Some(why.clone()), None),
            None => (Stage::Silent, Some("it was not asked".to_owned()), None),
        };
        let under_way = seen.and_then(|(facts, _)| {
            let under_way = facts.under_way.as_ref()?;
            Some(OperationStatus::of(under_way, runs, facts.machine.clock_ms, now_ms))
        });
        Self {
            node: node.name.clone(),
            address: node.address,
            roles: node.roles.iter().copied().collect(),
            stage,
            silent,
            under_way,
            ready,
            clock_offset_ms: seen.map(|(_, clock)| clock.certain_ms()),
            facts: seen.map(|(facts, _)| (**facts).clone()),
        }
    }

    /// Whether it has this role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// Whether its facts show all that a bring-up makes of it.
    pub(super) fn is_up(&self) -> bool {
        let stage = matches!(self.stage, Stage::LoadBalancer | Stage::Joined | Stage::Serves);
        stage && self.ready != Some(false)
    }
}

fn stage(node: &NodeSpec, facts: &Facts, etcd: Option<&EtcdStatus>) -> Stage {
    let held = &facts.kubernetes;
    if node.roles.contains(&Role::ControlPlane) {
        control_plane(node, facts, etcd)
    } else if !node.roles.contains(&Role::Worker) {
        Stage::LoadBalancer
    } else if held.kubelet_conf {
        Stage::Joined
    } else if held.ca.is_some() {
        Stage::Joining
    } else {
        early(held)
    }
}

fn control_plane(node: &NodeSpec, facts: &Facts, etcd: Option<&EtcdStatus>) -> Stage {
    let held = &facts.kubernetes;
    let has_pod = |name: &str| held.static_pods.iter().any(|pod| pod == name);
    match etcd.and_then(|etcd| etcd.member(&node.name)) {
        Some(member) if member.state == MemberState::Unstarted => Stage::MemberUnstarted,
        Some(member) if member.state == MemberState::Learner => Stage::Learner,
        Some(member) if !member.healthy => Stage::MemberDown,
        Some(_) if has_pod("kube-apiserver") => Stage::Serves,
        Some(_) => Stage::NoApiServer,
        None if held.etcd_data && etcd.is_some() => Stage::MemberRemoved,
        None if held.etcd_data => Stage::MemberDown,
        None if !held.static_pods.is_empty() => Stage::PodsInPlace,
        None if held.super_admin && held.kubelet_conf => Stage::Configured,
        None if held.ca.is_some() => Stage::Certified,
        None => early(held),
    }
}

fn early(held: &KubernetesFacts) -> Stage {
    if held.kubelet_version.is_some() { Stage::Installed } else { Stage::Bare }
}

impl OperationStatus {
    /// Both its start and the present are by the node's clock, so that it does not matter how that
    /// goes.
    fn of(under_way: &UnderWay, runs: &Runs, node_now_ms: u64, now_ms: u64) -> Self {
        let UnderWay { operation, term, goal, since_ms } = under_way.clone();
        let for_ms = node_now_ms.saturating_sub(since_ms);
        Self {
            operation,
            doing: goal.doing(),
            goal,
            by: Whose::of(&term, runs),
            term,
            since_ms: now_ms.saturating_sub(for_ms),
            for_ms,
        }
    }
}

impl Whose {
    fn of(term: &Term, Runs { holder, recorded }: &Runs) -> Self {
        if holder.as_ref().is_some_and(|holder| holder.run == term.run) {
            Self::Running
        } else if recorded.iter().any(|run| run.id == term.run) {
            Self::Over
        } else {
            Self::Other
        }
    }
}
