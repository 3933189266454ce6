//! What stands against a run, and what to do next, as far as facts tell.

use quorate_proto::NodeName;

use super::etcd::{EtcdStatus, MemberState, MemberStatus};
use super::node::{NodeStatus, Stage};
use super::{RunningHere, names};
use crate::plan::Blocked;
use crate::spec::Role;

/// What the gate before etcd's membership will say.
pub(super) fn membership(nodes: &[NodeStatus], etcd: Option<&EtcdStatus>) -> Vec<String> {
    let planes = || nodes.iter().filter(|node| node.is(Role::ControlPlane));
    let Some(etcd) = etcd else {
        let founded = planes().any(|node| node.stage == Stage::MemberDown);
        return founded.then(|| Blocked::EtcdSilent.to_string()).into_iter().collect();
    };
    let stranger = etcd.members.iter().find(|member| member.node.is_none());
    if let Some(stranger) = stranger {
        return vec![Blocked::UnknownMember { member: stranger.at.clone() }.to_string()];
    }
    let to_join = planes()
        .any(|node| node.silent.is_none() && etcd.member(&node.node).is_none_or(|m| !m.is_sound()));
    if !to_join {
        return Vec::new();
    }
    if etcd.leader.is_none() {
        return vec![Blocked::NoLeader.to_string()];
    }
    // A run finishes those whose nodes answer.
    let silent = |member: &&MemberStatus| {
        let node = planes().find(|node| member.node.as_ref() == Some(&node.node));
        node.is_none_or(|node| node.silent.is_some())
    };
    let unsound = etcd.members.iter().filter(|member| !member.is_sound());
    let blocked = unsound.filter(silent).map(|member| {
        let at = member.at.clone();
        match member.state {
            MemberState::Voter => Blocked::UnhealthyVoter { member: at },
            MemberState::Unstarted | MemberState::Learner => {
                Blocked::UnfinishedMember { member: at }
            }
        }
    });
    blocked.map(|blocked| blocked.to_string()).collect()
}

/// One line.
pub(super) fn of(
    nodes: &[NodeStatus],
    blocked: &[String],
    running: Option<&RunningHere>,
) -> String {
    let silent: Vec<&NodeName> =
        nodes.iter().filter(|node| node.silent.is_some()).map(|node| &node.node).collect();
    let busy = nodes.iter().any(|node| node.under_way.is_some());
    let up = nodes.iter().all(NodeStatus::is_up);
    let rest_is_up = nodes.iter().all(|node| node.is_up() || node.silent.is_some());
    let blank = |node: &NodeStatus| matches!(node.stage, Stage::Bare | Stage::LoadBalancer);
    let untouched = !busy && nodes.iter().all(blank);
    let follows = if busy { "it follows what runs and goes on" } else { "it goes on from here" };
    if let Some(RunningHere { run, pid, .. }) = running {
        format!("wait for run {run}, which is at it here as process {pid}")
    } else if !blocked.is_empty() {
        "see to what blocks it, then run `quorate apply` again".to_owned()
    } else if untouched {
        "run `quorate apply`: nothing of the cluster is there yet".to_owned()
    } else if !silent.is_empty() && !busy && rest_is_up {
        start(nodes, silent)
    } else if !silent.is_empty() {
        format!(
            "run `quorate apply` again: {follows}, without {} until the agent answers there",
            names(silent)
        )
    } else if busy || !up {
        format!("run `quorate apply` again: {follows}")
    } else {
        "nothing is missing by what the nodes say; `quorate verify` checks all of it".to_owned()
    }
}

/// Where the machine answers and nothing listens, the agent is down; elsewhere the machine may be.
fn start(nodes: &[NodeStatus], silent: Vec<&NodeName>) -> String {
    let refuses = |node: &&NodeStatus| {
        node.silent.as_ref().is_some_and(|why| why.to_lowercase().contains("connection refused"))
    };
    if nodes.iter().filter(|node| node.silent.is_some()).all(|node| refuses(&node)) {
        format!("start the agent on {}: `systemctl start quorate-agent`", names(silent))
    } else {
        format!(
            "see that {} runs and can be reached; its agent starts with the machine",
            names(silent)
        )
    }
}
