//! Taking a node out of the cluster because a person asked for it: reads from top to bottom.
//!
//! Nothing is done on the node itself, which may be gone for ever. A control plane that stays, the
//! seat, removes what the others hold of it.

use std::net::IpAddr;

use quorate_proto::goal::{ClusterGoal, EtcdGoal, Kind, MemberRemoval, NodeRemoval};
use quorate_proto::{EtcdFacts, EtcdMember, Goal, GoalId, NodeName};

use super::draft::Draft;
use super::membership::{Gate, is_of, view};
use super::quorum::{Change, Count, is_unfinished, project};
use super::standing::Standing;
use super::{Blocked, Lane, MemberAt, Observed, Outline, Step};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// A node that is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub node: NodeName,
    /// Where the node is or was: a member of etcd that has never started has no name.
    pub addresses: Vec<IpAddr>,
    /// Whether it may go although it runs.
    pub alive: bool,
}

/// Lists what has to go.
pub(super) fn outline(
    removal: &Removal,
    spec: &ClusterSpec,
    observed: &Observed,
) -> Result<Outline, Blocked> {
    let Removal { node, alive, .. } = removal;
    if spec.nodes.iter().any(|named| named.name == *node) {
        return Err(Blocked::StillSpecified { node: node.clone() });
    }
    let etcd = view(observed).ok_or(Blocked::EtcdSilent)?;
    let standing = Standing::of(spec, observed)?;
    let seat = spec.with_role(Role::ControlPlane).find(|node| node.name == standing.seat);
    let seat = seat.ok_or(Blocked::NoControlPlane)?;
    let mut draft = Draft::new(spec, &standing);

    // etcd first: a node that Kubernetes has forgotten leaves nobody to ask whose the member was.
    let mut before = Vec::new();
    if let Some(member) = member_of(removal, spec, &etcd)? {
        let goal = Goal::Etcd(EtcdGoal::EtcdMemberRemoved(MemberRemoval {
            on: draft.kube(seat, standing.entry(&seat.name)),
            node: node.clone(),
            id: member.id,
            peer_url: member.peer_urls.first().cloned().unwrap_or_default(),
            alive: *alive,
        }));
        before.push(draft.add_in(Lane::Membership, &seat.name, goal, &[]));
    }
    let goal =
        Goal::Cluster(ClusterGoal::NodeRemoved(NodeRemoval { node: node.clone(), alive: *alive }));
    draft.add(&seat.name, goal, &before);
    Ok(draft.finish())
}

/// The node's member: by its name, or by its address as long as it has not told its name. Another
/// that has no name might be the node's too, so it is not passed over in silence.
fn member_of<'f>(
    removal: &Removal,
    spec: &ClusterSpec,
    etcd: &'f EtcdFacts,
) -> Result<Option<&'f EtcdMember>, Blocked> {
    let named = etcd.members.iter().find(|member| member.name == removal.node.as_str());
    if named.is_some() {
        return Ok(named);
    }
    let planned = |member: &EtcdMember, node: &NodeSpec| is_of(member, &node.name, node.address);
    let mut nameless = etcd.members.iter().filter(|member| {
        member.name.is_empty() && !spec.nodes.iter().any(|node| planned(member, node))
    });
    let urls: Vec<String> = removal.addresses.iter().copied().map(EtcdMember::peer_url).collect();
    let is_there = |member: &&EtcdMember| member.peer_urls.iter().any(|url| urls.contains(url));
    if let Some(member) = nameless.clone().find(is_there) {
        return Ok(Some(member));
    }
    nameless.next().map_or(Ok(None), |member| {
        let member = MemberAt::new(member, Some(&removal.node));
        Err(Blocked::NamelessMember { member, node: removal.node.clone() })
    })
}

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
