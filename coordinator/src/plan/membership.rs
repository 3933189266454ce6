//! The gate before every change of etcd's membership, and the tolerance that it leaves.

use std::net::IpAddr;

use quorate_proto::goal::{Entry, KubeNode, Peer};
use quorate_proto::{EtcdFacts, EtcdMember, Goal, NodeName, StepId};

use super::quorum::{Change, Count, is_unfinished, project};
use super::{Blocked, MemberAt, Observed, Step, remove};

/// What the gate found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// Members as they are; nothing before the founding.
    pub before: Count,
    /// Members once these steps are done.
    pub after: Count,
    /// Joins that have begun, or members that must come back: every other one waits for these.
    pub first: Vec<StepId>,
}

/// Whether the membership may change now, by these steps that are left.
pub(super) fn gate<'a>(left: &[&'a Step], observed: &Observed) -> Result<Gate, Blocked> {
    let member = |step: &&'a Step| {
        let Goal::EtcdMember(node) = &step.goal else { return None };
        Some((&step.id, node))
    };
    if let Some(gate) = remove::gate(left, observed)? {
        return Ok(gate);
    }
    let members: Vec<(&StepId, &KubeNode)> = left.iter().filter_map(member).collect();
    known_members_only(left, observed)?;
    let before = view(observed).map(Count::of).unwrap_or_default();
    let first = match members.first() {
        None => Vec::new(),
        // No member answers, and the founder's is not up: it makes the cluster, or is back first.
        Some(_) if before.voters == 0 && founds(&members) => Vec::new(),
        Some(_) => unfinished_first(&members, observed)?,
    };
    let is_new = |node: &KubeNode| {
        let known = |member: &EtcdMember| is_of(member, &node.node, node.address);
        !view(observed).is_some_and(|facts| facts.members.iter().any(known))
    };
    let new = members.iter().filter(|(_, node)| is_new(node)).count();
    if new > 0 && first.is_empty() && before.voters > 0 {
        let refused = project(before, Change::Add).refused;
        refused.map_or(Ok(()), |refusal| Err(Blocked::Quorum(refusal)))?;
    }
    let learners = first.len().min(before.unfinished);
    let after = Count {
        voters: before.voters + new + learners,
        unhealthy: before.unhealthy.saturating_sub(first.len() - learners),
        unfinished: before.unfinished - learners,
    };
    Ok(Gate { before, after, first })
}

fn founds(members: &[(&StepId, &KubeNode)]) -> bool {
    members.iter().any(|(_, node)| node.entry == Entry::Founder)
}

/// With a member that the specification does not know etcd will never be as it asks.
fn known_members_only(left: &[&Step], observed: &Observed) -> Result<(), Blocked> {
    let planes = left.iter().find_map(|step| {
        let (Goal::EtcdMember(node) | Goal::EtcdHealthy(node)) = &step.goal else { return None };
        Some(&node.cluster.control_planes)
    });
    let (Some(planes), Some(facts)) = (planes, view(observed)) else { return Ok(()) };
    let known = |member: &&EtcdMember| {
        planes.iter().any(|Peer { node, address }| is_of(member, node, *address))
    };
    match facts.members.iter().find(|member| !known(member)) {
        Some(stranger) => Err(Blocked::UnknownMember { member: MemberAt::new(stranger, None) }),
        None => Ok(()),
    }
}

/// Members of ours that are not sound and that a step will see to; any other is refused.
fn unfinished_first(
    members: &[(&StepId, &KubeNode)],
    observed: &Observed,
) -> Result<Vec<StepId>, Blocked> {
    let facts = view(observed).ok_or(Blocked::EtcdSilent)?;
    if facts.leader.is_none() {
        return Err(Blocked::NoLeader);
    }
    let mut first = Vec::new();
    for member in facts.members.iter().filter(|member| !is_sound(member)) {
        let ours = members.iter().find(|(_, node)| is_of(member, &node.node, node.address));
        match ours {
            Some((id, _)) => first.push((*id).clone()),
            None => return Err(refuse(member, members)),
        }
    }
    Ok(first)
}

/// Whether a control plane is a healthy voter, by the word of another: then its join is over.
pub(super) fn has_joined(node: &NodeName, observed: &Observed) -> bool {
    let member = view(observed)
        .and_then(|facts| facts.members.iter().find(|member| member.name == node.as_str()));
    member.is_some_and(is_sound)
}

/// A member whose node is silent: its own step is withheld.
fn refuse(member: &EtcdMember, members: &[(&StepId, &KubeNode)]) -> Blocked {
    let mut planes = members.iter().flat_map(|(_, node)| &node.cluster.control_planes);
    let peer = planes.find(|peer| is_of(member, &peer.node, peer.address));
    let unfinished = is_unfinished(member);
    let member = MemberAt::new(member, peer.map(|peer| &peer.node));
    if unfinished {
        Blocked::UnfinishedMember { member }
    } else {
        Blocked::UnhealthyVoter { member }
    }
}

pub(super) fn view(observed: &Observed) -> Option<&EtcdFacts> {
    observed.etcd().map(|(_, facts)| facts)
}

fn is_sound(member: &EtcdMember) -> bool {
    !is_unfinished(member) && member.healthy
}

/// By name, or by peer address as long as it has not started and told its name.
pub(crate) fn is_of(member: &EtcdMember, node: &NodeName, address: IpAddr) -> bool {
    member.name == node.as_str() || member.peer_urls.contains(&EtcdMember::peer_url(address))
}
