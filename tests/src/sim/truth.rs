//! What a check finds and what an apply changes, goal by goal.

use quorate::spec::Role;
use quorate_proto::goal::Entry;
use quorate_proto::{Drift, Finding, Goal, NodeName};

use super::cluster::{Member, PREPARED, SimCluster};

impl SimCluster {
    /// The finding that the node's agent would report.
    pub(super) fn check(&self, node: &NodeName, goal: &Goal) -> Finding {
        if self.usurped && matches!(goal, Goal::EndpointReady(_)) {
            return Finding::Refused { why: "another cluster answers at the endpoint".to_owned() };
        }
        if needs_api(goal) && !self.api_answers() {
            return Finding::Unknown { why: "the API does not answer".to_owned() };
        }
        if let Goal::NodeRemoved(removal) = goal
            && !removal.alive
            && self.is_ready(&removal.node)
            && !self.is_silent(&removal.node)
        {
            return Finding::Refused { why: format!("node {} is Ready", removal.node) };
        }
        if self.is_true(node, goal) {
            return Finding::Satisfied;
        }
        Finding::Drifted(vec![Drift::new(goal.kind(), "not there", "there")])
    }

    fn is_true(&self, node: &NodeName, goal: &Goal) -> bool {
        let balanced = || {
            self.names(Role::LoadBalancer).all(|balancer| {
                self.holds(balancer, PREPARED) || self.holds(balancer, "load-balancer")
            })
        };
        match goal {
            Goal::EtcdMember(_) => self.is_voter(node),
            Goal::ApiServerReady(_) => self.serves(node),
            Goal::ClusterConfig(_) | Goal::JoinAccess(_) | Goal::Addons(_) | Goal::Network(_) => {
                self.once.contains(goal.kind())
            }
            Goal::JoinOffered(_) => self.offered,
            Goal::JoinWithdrawn(_) => !self.offered,
            Goal::NodeReady(name) => self.is_ready(name),
            Goal::SystemPodsReady | Goal::ClusterDns(_) => {
                let nodes = self.names(Role::ControlPlane).chain(self.names(Role::Worker));
                self.once.contains("addons") && nodes.into_iter().all(|name| self.is_ready(name))
            }
            Goal::EtcdHealthy(_) => {
                self.names(Role::ControlPlane).all(|name| self.is_voter(name))
                    && self.etcd.len() == self.names(Role::ControlPlane).count()
            }
            Goal::EndpointReady(_) => balanced() && self.api_answers(),
            Goal::BackendsUp(_) => {
                balanced() && self.names(Role::ControlPlane).all(|name| self.serves(name))
            }
            Goal::EtcdMemberRemoved(removal) => {
                self.etcd.iter().all(|member| member.node != removal.node)
            }
            Goal::NodeRemoved(removal) => !self.holds(&removal.node, "kubelet-certificate"),
            Goal::Certificates(_)
            | Goal::Kubeconfigs(_)
            | Goal::KubeletStarted(_)
            | Goal::StaticPods(_)
            | Goal::KubeletCertificate(_)
            | Goal::ControlPlaneMarked(_)
            | Goal::AdminKubeconfig(_) => self.holds(node, &goal.id()),
            Goal::Hosts(_)
            | Goal::SwapOff
            | Goal::KernelModules(_)
            | Goal::Sysctls(_)
            | Goal::PackageSource(_)
            | Goal::Packages(_)
            | Goal::Containerd(_)
            | Goal::ServiceRunning(_)
            | Goal::Images(_)
            | Goal::LoadBalancer(_) => self.holds(node, PREPARED) || self.holds(node, &goal.id()),
        }
    }

    fn is_ready(&self, node: &NodeName) -> bool {
        self.holds(node, "kubelet-certificate") && self.once.contains("network")
    }

    /// The first half of what an apply changes: only a join of etcd has one of its own.
    pub(super) fn begin_effect(&mut self, node: &NodeName, goal: &Goal) {
        let Goal::EtcdMember(kube) = goal else { return };
        let member = self.etcd.iter().any(|member| member.node == *node);
        if kube.entry == Entry::Founder || member || self.etcd.is_empty() {
            return;
        }
        if let Some(other) = self.etcd.iter().find(|member| member.learner) {
            let other = other.node.clone();
            self.violations.push(format!("{node} joins etcd while {other} has not finished"));
        }
        self.etcd.push(Member { node: node.clone(), learner: true });
        self.node_mut(node).etcd_data = true;
    }

    /// What an apply changes, once it has come to its end.
    pub(super) fn finish_effect(&mut self, node: &NodeName, goal: &Goal) {
        match goal {
            Goal::Certificates(kube) => self.certify(node, kube.entry, goal),
            Goal::Kubeconfigs(kube) => {
                self.node_mut(node).super_admin |= kube.entry == Entry::Founder;
                self.hold(node, goal);
            }
            Goal::EtcdMember(kube) => self.become_member(node, kube.entry),
            Goal::KubeletStarted(kube) if kube.entry == Entry::Worker => {
                if self.offered {
                    self.node_mut(node).authority = Some(1);
                    self.hold(node, goal);
                }
            }
            Goal::KubeletCertificate(kube) => {
                if self.api_answers() && (self.offered || kube.entry == Entry::Founder) {
                    self.hold(node, goal);
                }
            }
            Goal::ClusterConfig(_) | Goal::JoinAccess(_) | Goal::Addons(_) | Goal::Network(_) => {
                if self.api_answers() {
                    self.once.insert(goal.kind().to_owned());
                    // kubeadm makes a token with the access.
                    self.offered |= matches!(goal, Goal::JoinAccess(_));
                }
            }
            Goal::JoinOffered(_) => self.offered = self.api_answers(),
            Goal::JoinWithdrawn(_) => self.offered = false,
            Goal::EtcdMemberRemoved(removal) => {
                self.etcd.retain(|member| member.node != removal.node);
            }
            Goal::NodeRemoved(removal) => {
                if let Some(node) = self.nodes.get_mut(&removal.node) {
                    node.held.remove("kubelet-certificate");
                }
            }
            // Nothing but time brings these about.
            Goal::ApiServerReady(_)
            | Goal::NodeReady(_)
            | Goal::SystemPodsReady
            | Goal::EtcdHealthy(_)
            | Goal::EndpointReady(_)
            | Goal::BackendsUp(_)
            | Goal::ClusterDns(_) => {}
            Goal::KubeletStarted(_)
            | Goal::StaticPods(_)
            | Goal::ControlPlaneMarked(_)
            | Goal::AdminKubeconfig(_)
            | Goal::Hosts(_)
            | Goal::SwapOff
            | Goal::KernelModules(_)
            | Goal::Sysctls(_)
            | Goal::PackageSource(_)
            | Goal::Packages(_)
            | Goal::Containerd(_)
            | Goal::ServiceRunning(_)
            | Goal::Images(_)
            | Goal::LoadBalancer(_) => self.hold(node, goal),
        }
    }

    fn certify(&mut self, node: &NodeName, entry: Entry, goal: &Goal) {
        if entry == Entry::Founder && self.node(node).authority.is_none() {
            self.authorities += 1;
            let number = self.authorities;
            self.node_mut(node).authority = Some(number);
            if number > 1 {
                self.violations.push(format!("{node} made a second certificate authority"));
            }
        }
        if entry == Entry::ControlPlane && self.offered {
            self.node_mut(node).authority = Some(1);
        }
        if self.node(node).authority.is_some() {
            self.hold(node, goal);
        }
    }

    fn become_member(&mut self, node: &NodeName, entry: Entry) {
        if entry == Entry::Founder && !self.node(node).etcd_data {
            self.foundings += 1;
            if self.foundings > 1 {
                self.violations.push(format!("{node} founded a second cluster"));
            }
            self.node_mut(node).etcd_data = true;
            self.etcd.push(Member { node: node.clone(), learner: false });
        }
        if let Some(member) = self.etcd.iter_mut().find(|member| member.node == *node) {
            member.learner = false;
        }
    }

    fn hold(&mut self, node: &NodeName, goal: &Goal) {
        self.node_mut(node).held.insert(goal.id());
    }
}

fn needs_api(goal: &Goal) -> bool {
    matches!(
        goal,
        Goal::ClusterConfig(_)
            | Goal::JoinAccess(_)
            | Goal::Addons(_)
            | Goal::JoinOffered(_)
            | Goal::JoinWithdrawn(_)
            | Goal::Network(_)
            | Goal::NodeReady(_)
            | Goal::SystemPodsReady
            | Goal::ClusterDns(_)
            | Goal::ControlPlaneMarked(_)
            | Goal::NodeRemoved(_)
    )
}
