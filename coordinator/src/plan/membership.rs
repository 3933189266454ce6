//! The gate before every change of etcd's membership, and the tolerance that it leaves.

mod removal;

use std::net::IpAddr;

use quorate_proto::goal::{Entry, EtcdGoal, KubeNode, Peer};
use quorate_proto::{EtcdFacts, EtcdMember, Goal, NodeName, StepId};

use super::quorum::{Change, Count, is_unfinished, project};
use super::{Blocked, MemberAt, Observed, Step};

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

/// Whether the membership may change now, by the steps that are left. That a member's step holds is
/// newer than what was observed.
pub(super) fn gate(
    left: &[&Step],
    holding: &[&Step],
    observed: &Observed,
) -> Result<Gate, Blocked> {
    if let Some(gate) = removal::gate(left, observed)? {
        return Ok(gate);
    }
    let members = left.iter().filter_map(|step| Some((&step.id, member_of(step)?)));
    let members: Vec<(&StepId, &KubeNode)> = members.collect();
    let view = view(observed).map(|facts| with_checks(facts, holding));
    known_members_only(left, view.as_ref())?;
    let before = view.as_ref().map(Count::of).unwrap_or_default();
    let first = match (members.first(), &view) {
        (None, _) => Vec::new(),
        (Some(_), Some(facts)) => unfinished_first(&members, facts)?,
        (Some(_), None) if holding.iter().any(|step| member_of(step).is_some()) => Vec::new(),
        (Some(_), None) => silent_first(&members, observed)?,
    };
    let is_new = |node: &KubeNode| {
        let known = |member: &EtcdMember| is_of(member, &node.node, node.address);
        !view.as_ref().is_some_and(|facts| facts.members.iter().any(known))
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

fn member_of(step: &Step) -> Option<&KubeNode> {
    let Goal::Etcd(EtcdGoal::EtcdMember(node)) = &step.goal else { return None };
    Some(node)
}

/// A join may have ended since the members were looked at: a check that found a healthy voter says
/// so.
fn with_checks(mut facts: EtcdFacts, holding: &[&Step]) -> EtcdFacts {
    for node in holding.iter().filter_map(|step| member_of(step)) {
        let known = |member: &&mut EtcdMember| is_of(member, &node.node, node.address);
        if let Some(member) = facts.members.iter_mut().find(known) {
            member.name = node.node.to_string();
            (member.learner, member.healthy) = (false, true);
        }
    }
    facts
}

/// With a member that the specification does not know etcd will never be as it asks.
fn known_members_only(left: &[&Step], view: Option<&EtcdFacts>) -> Result<(), Blocked> {
    let planes = left.iter().find_map(|step| {
        let Goal::Etcd(EtcdGoal::EtcdMember(node) | EtcdGoal::EtcdHealthy(node)) = &step.goal
        else {
            return None;
        };
        Some(&node.cluster.control_planes)
    });
    let (Some(planes), Some(facts)) = (planes, view) else { return Ok(()) };
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
    facts: &EtcdFacts,
) -> Result<Vec<StepId>, Blocked> {
    let step_of = |member: &EtcdMember| {
        let ours = |node: &KubeNode| is_of(member, &node.node, node.address);
        members.iter().find(|(_, node)| ours(node)).map(|(id, _)| (*id).clone())
    };
    let up = |member: &&EtcdMember| is_sound(member) || step_of(member).is_some();
    let voters = || facts.members.iter().filter(|member| !is_unfinished(member));
    if facts.leader.is_none() && voters().filter(up).count() * 2 <= voters().count() {
        return Err(Blocked::NoLeader);
    }
    // Voters that only have to come back change nothing, whatever becomes of the others.
    let comes_back = |node: &KubeNode| voters().any(|it| is_of(it, &node.node, node.address));
    let changes = members.iter().any(|(_, node)| !comes_back(node));
    let mut first = Vec::new();
    for member in facts.members.iter().filter(|member| !is_sound(member)) {
        match step_of(member) {
            Some(step) => first.push(step),
            None if changes => return Err(refuse(member, members)),
            None => {}
        }
    }
    Ok(first)
}

/// No member answers. Those whose data is there come back by themselves, as after a reboot of all,
/// and others wait for them; without any the founder makes the cluster.
fn silent_first(
    members: &[(&StepId, &KubeNode)],
    observed: &Observed,
) -> Result<Vec<StepId>, Blocked> {
    let has_data = |node: &KubeNode| {
        observed.facts(&node.node).is_some_and(|facts| facts.kubernetes.etcd_data)
    };
    let back = members.iter().filter(|(_, node)| has_data(node)).map(|(id, _)| (*id).clone());
    let back: Vec<StepId> = back.collect();
    let founds = members.iter().any(|(_, node)| node.entry == Entry::Founder);
    if back.is_empty() && !founds { Err(Blocked::EtcdSilent) } else { Ok(back) }
}

/// Whether a control plane is a healthy voter, by the word of another: then its join is over.
pub(super) fn has_joined(node: &NodeName, observed: &Observed) -> bool {
    let is_it = |member: &EtcdMember| member.name == node.as_str() && is_sound(member);
    view(observed).is_some_and(|facts| facts.members.iter().any(is_it))
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

/// What etcd says of itself. During an election it calls nobody healthy, and that passes in seconds:
/// until then a voter counts as healthy that answers its own node.
pub(crate) fn view(observed: &Observed) -> Option<EtcdFacts> {
    let mut facts = observed.etcd()?.1.clone();
    if facts.leader.is_none() {
        for member in &mut facts.members {
            let own = observed.nodes.keys().find(|node| node.as_str() == member.name);
            let answers = own
                .is_some_and(|node| observed.facts(node).is_some_and(|facts| facts.etcd.is_some()));
            member.healthy = answers && !member.learner;
        }
    }
    Some(facts)
}

fn is_sound(member: &EtcdMember) -> bool {
    !is_unfinished(member) && member.healthy
}

/// By name, or by peer address as long as it has not started and told its name.
pub(crate) fn is_of(member: &EtcdMember, node: &NodeName, address: IpAddr) -> bool {
    member.name == node.as_str() || member.peer_urls.contains(&EtcdMember::peer_url(address))
}

#[cfg(test)]
mod tests;
