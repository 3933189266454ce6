//! What a check finds and what an apply changes, goal by goal.

use quorate::spec::Role;
use quorate_proto::goal::{
    Asks, BalancerGoal, ClusterGoal, Entry, EtcdGoal, Kind, KubeadmGoal, Material,
};
use quorate_proto::{Drift, Finding, Goal, NodeName, RunId};

use super::etcd::Obstacle;
use super::node::{Machinery, Operation};
use super::world::SimCluster;

impl SimCluster {
    /// The finding that the node's agent would report.
    pub(super) fn check(&self, node: &NodeName, goal: &Goal) -> Finding {
        if self.usurped && matches!(goal, Goal::Cluster(ClusterGoal::EndpointReady(_))) {
            return Finding::Refused { why: "another cluster answers at the endpoint".to_owned() };
        }
        if goal.traits().asks == Asks::Api && !self.api_answers_to(node) {
            return Finding::Unknown { why: "the API does not answer".to_owned() };
        }
        if let Goal::Cluster(ClusterGoal::NodeRemoved(removal)) = goal
            && !removal.alive
            && self.is_ready(&removal.node)
            && !self.is_silent(&removal.node)
        {
            return Finding::Refused { why: format!("node {} is Ready", removal.node) };
        }
        if self.is_true(node, goal) {
            return Finding::Satisfied;
        }
        Finding::Drifted(vec![Drift::new(goal.kind().as_str(), "not there", "there")])
    }

    fn is_true(&self, node: &NodeName, goal: &Goal) -> bool {
        let balanced = || {
            self.names(Role::LoadBalancer).all(|balancer| {
                self.node(balancer).prepared || self.holds(balancer, Kind::LoadBalancer)
            })
        };
        let kind = goal.kind();
        match goal {
            Goal::Host(_) | Goal::Runtime(_) | Goal::Balancer(BalancerGoal::LoadBalancer(_)) => {
                self.node(node).prepared || self.holds(node, kind)
            }
            Goal::Balancer(BalancerGoal::BackendsUp(_)) => {
                balanced() && self.names(Role::ControlPlane).all(|name| self.serves(name))
            }
            Goal::Etcd(EtcdGoal::EtcdMember(_)) => self.is_member(node),
            Goal::Etcd(EtcdGoal::EtcdHealthy(_)) => {
                self.names(Role::ControlPlane).all(|name| self.is_member(name))
                    && self.etcd.members.len() == self.names(Role::ControlPlane).count()
            }
            Goal::Etcd(EtcdGoal::EtcdMemberRemoved(removal)) => {
                self.etcd.member(&removal.node).is_none()
            }
            Goal::Kubeadm(KubeadmGoal::ApiServerReady, _) => self.serves(node),
            Goal::Kubeadm(..) => self.holds(node, kind),
            Goal::Cluster(ClusterGoal::JoinOffered(offer)) => {
                self.tokens.len() == 1 && (self.sealed.is_some() || !offer.certificates)
            }
            Goal::Cluster(ClusterGoal::JoinWithdrawn(_)) => {
                self.tokens.is_empty() && self.sealed.is_none()
            }
            Goal::Cluster(ClusterGoal::NodesReady(nodes)) => {
                nodes.iter().all(|it| self.is_ready(it))
            }
            Goal::Cluster(ClusterGoal::SystemPodsReady | ClusterGoal::ClusterDns(_)) => {
                let nodes = self.names(Role::ControlPlane).chain(self.names(Role::Worker));
                self.once.contains(&Kind::Addons) && nodes.into_iter().all(|it| self.is_ready(it))
            }
            Goal::Cluster(ClusterGoal::EndpointReady(_)) => balanced() && self.api_answers(),
            Goal::Cluster(ClusterGoal::NodeRemoved(removal)) => {
                !self.holds(&removal.node, Kind::KubeletCertificate)
            }
            Goal::Cluster(_) => self.once.contains(&kind),
        }
    }

    pub(super) fn is_ready(&self, node: &NodeName) -> bool {
        let runs = self.nodes.get(node).is_some_and(|node| node.machinery == Machinery::Running);
        runs && self.holds(node, Kind::KubeletCertificate) && self.once.contains(&Kind::Network)
    }

    /// What an apply has changed when so many events of it are left; at none it has come to its end.
    ///
    /// # Errors
    /// Where the agent does not go on for now.
    pub(super) fn take_effect(
        &mut self,
        node: &NodeName,
        operation: &Operation,
    ) -> Result<(), Obstacle> {
        let goal = &*operation.goal;
        if let Goal::Etcd(EtcdGoal::EtcdMember(kube)) = goal {
            return self.join_etcd(node, kube.entry, operation);
        }
        if operation.left == 0 {
            self.finish_effect(node, goal, operation.material.as_ref());
        }
        Ok(())
    }

    /// A join of etcd is the one change that others see when it is half done.
    fn join_etcd(
        &mut self,
        node: &NodeName,
        entry: Entry,
        operation: &Operation,
    ) -> Result<(), Obstacle> {
        if self.etcd.is_voter(node) {
            // It comes up by itself.
            return if self.is_member(node) { Ok(()) } else { Err(Obstacle::NotYet) };
        }
        match (operation.left, entry) {
            (2, Entry::ControlPlane) => {
                self.last_look(node, entry)?;
                if !self.may_join(operation.material.as_ref()) {
                    return Err(Obstacle::Refused);
                }
                self.announce(node);
            }
            (1, Entry::ControlPlane) => self.start_member(node),
            (0, Entry::ControlPlane) => self.promote(node),
            (0, Entry::Founder) => {
                self.last_look(node, entry)?;
                self.found(node);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the cluster lets a node join by this material.
    fn may_join(&self, material: Option<&RunId>) -> bool {
        self.api_answers() && material.is_some_and(|run| self.tokens.contains(run))
    }

    /// Goals that wait for Kubernetes do not come here, nor does a join of etcd.
    fn finish_effect(&mut self, node: &NodeName, goal: &Goal, material: Option<&RunId>) {
        if goal.traits().asks == Asks::Api && !self.api_answers_to(node) {
            return;
        }
        match goal {
            Goal::Host(_) | Goal::Runtime(_) | Goal::Balancer(_) => self.hold(node, goal),
            Goal::Etcd(EtcdGoal::EtcdMemberRemoved(removal)) => {
                self.etcd.members.retain(|member| member.node != removal.node);
            }
            Goal::Etcd(_) => {}
            Goal::Kubeadm(KubeadmGoal::Certificates, kube) => {
                self.certify(node, kube.entry, goal, material);
            }
            Goal::Kubeadm(phase, kube) => {
                let signs = *phase == KubeadmGoal::KubeletCertificate;
                let admitted = match goal.material() {
                    Material::None => !signs || self.api_answers(),
                    Material::Token | Material::TokenAndCertificates => self.may_join(material),
                };
                if !admitted {
                    return;
                }
                if *phase == KubeadmGoal::Kubeconfigs && kube.entry == Entry::Founder {
                    self.node_mut(node).super_admin = true;
                }
                if kube.entry == Entry::Worker {
                    self.node_mut(node).authority = Some(1);
                }
                self.hold(node, goal);
            }
            Goal::Cluster(ClusterGoal::JoinOffered(offer)) => {
                self.tokens = material.cloned().into_iter().collect();
                self.sealed = material.filter(|_| offer.certificates).cloned();
            }
            Goal::Cluster(ClusterGoal::JoinWithdrawn(_)) => {
                self.tokens.clear();
                self.sealed = None;
            }
            Goal::Cluster(ClusterGoal::NodeRemoved(removal)) => {
                if let Some(node) = self.nodes.get_mut(&removal.node) {
                    node.held.remove(&Kind::KubeletCertificate);
                }
            }
            Goal::Cluster(_) => {
                self.once.insert(goal.kind());
                // kubeadm makes a token with the access.
                self.tokens.extend(material.filter(|_| goal.creates_token()).cloned());
            }
        }
    }

    fn certify(&mut self, node: &NodeName, entry: Entry, goal: &Goal, material: Option<&RunId>) {
        if entry == Entry::Founder && self.node(node).authority.is_none() {
            self.authorities += 1;
            let number = self.authorities;
            self.node_mut(node).authority = Some(number);
            if number > 1 {
                self.violations.push(format!("{node} made a second certificate authority"));
            }
        }
        let unseals = material.is_some() && self.sealed.as_ref() == material;
        if entry == Entry::ControlPlane && unseals && self.may_join(material) {
            self.node_mut(node).authority = Some(1);
        }
        if self.node(node).authority.is_some() {
            self.hold(node, goal);
        }
    }

    fn hold(&mut self, node: &NodeName, goal: &Goal) {
        self.node_mut(node).held.insert(goal.kind());
    }

    /// Control planes ask their own API server, and all others the endpoint.
    fn api_answers_to(&self, node: &NodeName) -> bool {
        let plane = self.names(Role::ControlPlane).any(|plane| plane == node);
        if plane { self.serves(node) } else { self.api_answers() }
    }
}
