//! Taking a node out of the cluster because a person asked for it: reads from top to bottom.
//!
//! Nothing is done on the node itself, which may be gone for ever. A control plane that stays, the
//! seat, removes what the others hold of it.

use std::net::IpAddr;

use quorate_proto::goal::{ClusterGoal, EtcdGoal, MemberRemoval, NodeRemoval};
use quorate_proto::{EtcdFacts, EtcdMember, Goal, NodeName, trust};

use super::{Steps, Title};
use crate::plan::{Blocked, Draft, Lane, MemberAt, Observed, Outline, Standing, etcd_view, is_of};
use crate::spec::{ClusterSpec, NodeSpec};

/// A node that is to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub node: NodeName,
    /// Where the node is or was: a member of etcd that has never started has no name.
    pub addresses: Vec<IpAddr>,
    /// Whether it may go although it runs.
    pub alive: bool,
}

impl Steps for Removal {
    fn title(&self, cluster: &str) -> Title {
        let Self { node, alive, .. } = self;
        let alive = if *alive { " --alive" } else { "" };
        Title {
            command: format!("quorate node remove {node}{alive}"),
            subject: Some(node.clone()),
            purpose: Some(format!("to remove {node}")),
            done: format!("{node} is removed from cluster {cluster}"),
            idle: format!("nothing of {node} is left in cluster {cluster}"),
            next: Some(
                "if its machine runs, or ever starts again, run `kubeadm reset` there; `quorate apply` \
                 brings its replacement in"
                    .to_owned(),
            ),
            ..Title::default()
        }
    }

    fn least_role(&self) -> trust::Role {
        trust::Role::Admin
    }

    fn preconditions(&self, spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
        if spec.nodes.iter().any(|named| named.name == self.node) {
            return Err(Blocked::StillSpecified { node: self.node.clone() });
        }
        etcd_view(observed).map(drop).ok_or(Blocked::EtcdSilent)
    }

    fn steps(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        let Self { node, alive, .. } = self;
        let etcd = etcd_view(observed).ok_or(Blocked::EtcdSilent)?;
        let standing = Standing::of(spec, observed)?;
        let seat = standing.seat(spec)?;
        let mut draft = Draft::new(spec, &standing);

        // etcd first: a node that Kubernetes has forgotten leaves nobody to ask whose the member was.
        let mut before = Vec::new();
        if let Some(member) = member_of(self, spec, &etcd)? {
            let goal = Goal::Etcd(EtcdGoal::EtcdMemberRemoved(MemberRemoval {
                on: draft.kube(seat, standing.entry(&seat.name)),
                node: node.clone(),
                id: member.id,
                peer_url: member.peer_urls.first().cloned().unwrap_or_default(),
                alive: *alive,
            }));
            before.push(draft.add_in(Lane::Membership, &seat.name, goal, &[]));
        }
        let removal = NodeRemoval { node: node.clone(), alive: *alive };
        draft.add(&seat.name, Goal::Cluster(ClusterGoal::NodeRemoved(removal)), &before);
        Ok(draft.finish())
    }
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
