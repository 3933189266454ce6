//! The gate before a member of etcd is removed.

use quorate_proto::goal::{EtcdGoal, Kind, MemberRemoval};
use quorate_proto::{EtcdFacts, EtcdMember, Goal, GoalId};

use super::{Gate, is_of, view};
use crate::plan::quorum::{Change, Count, is_unfinished, project};
use crate::plan::{Blocked, MemberAt, Observed, Step};

/// Whether a member that is left to remove may be removed now; `None` where there is none.
pub(super) fn gate(left: &[&Step], observed: &Observed) -> Result<Option<Gate>, Blocked> {
    let removal = left.iter().find_map(|step| {
        let Goal::Etcd(EtcdGoal::EtcdMemberRemoved(removal)) = &step.goal else { return None };
        Some((step, removal))
    });
    let Some((step, removal)) = removal else { return Ok(None) };
    let etcd = view(observed).ok_or(Blocked::EtcdSilent)?;
    if etcd.leader.is_none() {
        return Err(Blocked::NoLeader);
    }
    let Some(member) = etcd.members.iter().find(|member| member.id == removal.id) else {
        return Ok(Some(Gate::default()));
    };
    if member.healthy && !removal.alive {
        let member = MemberAt::new(member, Some(&removal.node));
        return Err(Blocked::MemberAlive { member });
    }
    nobody_else_changes(step, removal, &etcd, observed)?;
    let change = if is_unfinished(member) {
        Change::RemoveUnfinished
    } else {
        Change::Remove { healthy: member.healthy }
    };
    let projection = project(Count::of(&etcd), change);
    projection.refused.map_or(Ok(()), |refusal| Err(Blocked::Quorum(refusal)))?;
    let (before, after) = (projection.before, projection.after);
    Ok(Some(Gate { before, after, first: Vec::new() }))
}

/// One change of the membership at a time: none is under way, and no silent node may be at one.
fn nobody_else_changes(
    step: &Step,
    removal: &MemberRemoval,
    etcd: &EtcdFacts,
    observed: &Observed,
) -> Result<(), Blocked> {
    for peer in &removal.on.cluster.control_planes {
        let votes =
            |member: &EtcdMember| !is_unfinished(member) && is_of(member, &peer.node, peer.address);
        if observed.silence(&peer.node).is_some() && !etcd.members.iter().any(votes) {
            return Err(Blocked::MayBeJoining { node: peer.node.clone() });
        }
    }
    for node in observed.nodes.keys() {
        let under_way = observed.facts(node).and_then(|facts| facts.under_way.as_ref());
        let Some(operation) = under_way.filter(|it| may_change_membership(&it.goal)) else {
            continue;
        };
        // The very step was ordered before, and this run follows it.
        if (node, &operation.goal) != (&step.id.node, &step.id.goal) {
            let (node, goal) = (node.clone(), operation.goal.clone());
            return Err(Blocked::MembershipChanging { node, goal });
        }
    }
    Ok(())
}

/// A goal that only another version knows may change anything.
fn may_change_membership(goal: &GoalId) -> bool {
    goal.kind().is_none_or(|kind| [Kind::EtcdMember, Kind::EtcdMemberRemoved].contains(&kind))
}
