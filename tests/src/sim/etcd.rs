//! The simulated etcd: its members, who of them is well, and who may join.

use quorate::spec::Role;
use quorate_proto::goal::Entry;
use quorate_proto::{EtcdFacts, EtcdMember, NodeName};

use super::node::Machinery;
use super::world::SimCluster;

#[derive(Debug, Clone, Default)]
pub(super) struct Etcd {
    pub members: Vec<Member>,
    /// Events until an election is over.
    pub electing: usize,
}

/// A member of etcd. It stays one, whatever becomes of its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub id: u64,
    pub node: NodeName,
    /// Without this it has no name: it was added, and has never run.
    pub started: bool,
    pub learner: bool,
}

/// Why a member must not join now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// It may pass by itself.
    NotYet,
    /// A person has to look.
    Refused,
}

impl Etcd {
    pub(super) fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.learner)
    }

    pub(super) fn member(&self, node: &NodeName) -> Option<&Member> {
        self.members.iter().find(|member| member.node == *node)
    }

    pub(super) fn is_voter(&self, node: &NodeName) -> bool {
        self.member(node).is_some_and(|member| !member.learner)
    }

    fn add(&mut self, node: &NodeName, learner: bool) {
        let id = u64::try_from(self.members.len()).unwrap_or_default() + 1;
        let node = node.clone();
        self.members.push(Member { id, node, started: !learner, learner });
    }
}

impl SimCluster {
    /// Whether the node's etcd runs and answers in time, and the others reach it.
    pub(super) fn is_well(&self, node: &NodeName) -> bool {
        self.runs_etcd(node) && self.nodes.get(node).is_some_and(|node| !node.isolated)
    }

    fn runs_etcd(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|node| {
            node.etcd_pod && !node.etcd_slow && node.machinery == Machinery::Running
        })
    }

    /// Whether more than half of all voters are well, and agree by now on who leads.
    pub(super) fn has_leader(&self) -> bool {
        let well = self.etcd.voters().filter(|member| self.is_well(&member.node)).count();
        self.etcd.electing == 0 && well * 2 > self.etcd.voters().count()
    }

    /// What the node's own member says of all; `None` where there is none or it does not answer. A
    /// learner does not.
    pub(super) fn told_by(&self, node: &NodeName) -> Option<EtcdFacts> {
        if !self.etcd.is_voter(node) || !self.runs_etcd(node) {
            return None;
        }
        let cut_off = self.node(node).isolated && self.etcd.members.len() > 1;
        let leads = |member: &&Member| self.is_well(&member.node);
        let leader = self.etcd.voters().find(leads).map(|member| member.id);
        let leader = leader.filter(|_| !cut_off && self.has_leader());
        let member = |member: &Member| EtcdMember {
            id: member.id,
            name: if member.started { member.node.to_string() } else { String::new() },
            peer_urls: vec![self.peer_url(&member.node)],
            learner: member.learner,
            healthy: leader.is_some() && member.started && self.is_well(&member.node),
        };
        let members = self.etcd.members.iter().map(member).collect();
        Some(EtcdFacts { cluster_id: 1, leader, members })
    }

    /// Whether the node, by what it can reach, finds its own member a healthy voter.
    pub(super) fn is_member(&self, node: &NodeName) -> bool {
        self.etcd.is_voter(node) && self.is_well(node) && self.has_leader()
    }

    fn peer_url(&self, node: &NodeName) -> String {
        self.node(node).address.map(EtcdMember::peer_url).unwrap_or_default()
    }

    /// The agent's last look before it changes the membership.
    pub(super) fn last_look(&self, node: &NodeName, entry: Entry) -> Result<(), Obstacle> {
        if !self.rules.last_look {
            return Ok(());
        }
        let reached = |peer: &NodeName| {
            self.etcd.is_voter(peer) && self.is_well(peer) && !self.node(node).isolated
        };
        let answer = self.names(Role::ControlPlane).any(|peer| peer != node && reached(peer));
        if entry == Entry::Founder {
            // Another member answers, or the data of one that was is here: no second cluster.
            let data = self.node(node).etcd_data;
            return if answer || data { Err(Obstacle::Refused) } else { Ok(()) };
        }
        let known = self.etcd.member(node);
        if known.is_none() && self.node(node).etcd_data {
            return Err(Obstacle::Refused);
        }
        let others = || self.etcd.members.iter().filter(|member| member.node != *node);
        let sound = others().all(|it| it.started && !it.learner && self.is_well(&it.node));
        let (healthy, after) = (others().count(), others().count() + 1);
        let kept = after <= 2 || healthy * 2 > after;
        if answer && self.has_leader() && sound && kept { Ok(()) } else { Err(Obstacle::NotYet) }
    }

    /// A member is added that has not started.
    pub(super) fn announce(&mut self, node: &NodeName) {
        if let Some(other) = self.etcd.members.iter().find(|it| it.learner && it.node != *node) {
            let other = other.node.clone();
            self.violations.push(format!("{node} joins etcd while {other} has not finished"));
        }
        if self.etcd.member(node).is_none() {
            self.projected(node);
            self.etcd.add(node, true);
        }
    }

    /// Counted one by one, at the very moment of the change: the new member may never start.
    fn projected(&mut self, node: &NodeName) {
        let before = self.etcd.voters().count();
        let well = self.etcd.voters().filter(|member| self.is_well(&member.node)).count();
        let kept = if before > 1 { well * 2 > before + 1 } else { well == before };
        if !kept {
            let after = before + 1;
            self.violations.push(format!(
                "{node} joins where {well} of {after} voters would be left: less than a quorum"
            ));
        }
    }

    /// The member runs: it has a name now.
    pub(super) fn start_member(&mut self, node: &NodeName) {
        if let Some(member) = self.etcd.members.iter_mut().find(|member| member.node == *node) {
            member.started = true;
            let node = self.node_mut(node);
            (node.etcd_pod, node.etcd_data) = (true, true);
        }
    }

    /// It votes from now on.
    pub(super) fn promote(&mut self, node: &NodeName) {
        let runs = self.is_well(node) && self.has_leader();
        let member = self.etcd.members.iter_mut().find(|member| member.node == *node);
        if let Some(member) = member.filter(|member| runs && member.started) {
            member.learner = false;
        }
    }

    /// A cluster of one begins, unless the node's own is there already.
    pub(super) fn found(&mut self, node: &NodeName) {
        if self.node(node).etcd_data {
            return;
        }
        self.foundings += 1;
        if self.foundings > 1 {
            self.violations.push(format!("{node} founded a second cluster"));
        }
        self.initialised_as = Some(self.spec.clone());
        self.etcd.add(node, false);
        let node = self.node_mut(node);
        (node.etcd_pod, node.etcd_data) = (true, true);
    }
}
