//! Goals: what must hold on a node, as plain data. A goal never says what to run.

mod balancer;
mod cluster;
mod document;
mod etcd;
mod grammar;
mod host;
mod kubeadm;
mod runtime;
mod table;
mod validate;

pub use balancer::{Backend, BalancerGoal, HealthCheck, LoadBalancer};
pub use cluster::{ClusterGoal, Manifest, NodeRemoval, Offer, Scheduling};
pub use etcd::{EtcdGoal, MemberRemoval};
pub use grammar::NODES;
pub use host::{
    HostGoal, Hosts, KernelModules, Package, PackageSource, Packages, Service, Sysctls,
};
pub use kubeadm::{Cluster, Endpoint, Entry, ExtraArgs, KubeNode, KubeadmGoal, Peer, REGISTRY};
pub use runtime::{Archive, Containerd, Images, Release, RuntimeGoal};
pub use table::{Asks, By, Interruption, Kind, Lifetime, Material, Traits};
pub use validate::Invalid;

use crate::goal_id::{self, GoalId};

/// Everything that quorate can make hold, or wait for, on a node.
///
/// Families are closed on purpose: a new goal must be looked at wherever goals of its family are
/// matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    Host(HostGoal),
    Runtime(RuntimeGoal),
    Balancer(BalancerGoal),
    Etcd(EtcdGoal),
    Kubeadm(KubeadmGoal, KubeNode),
    Cluster(ClusterGoal),
}

impl Goal {
    /// The goal's id, unique on its node.
    pub fn id(&self) -> GoalId {
        GoalId::Known { kind: self.kind(), name: self.name().map(str::to_owned) }
    }

    /// The row of its kind.
    pub fn traits(&self) -> Traits {
        self.kind().traits()
    }

    /// Whether Kubernetes makes it hold, so that to apply it is to wait.
    pub fn is_awaited(&self) -> bool {
        self.traits().brought_about == By::Kubernetes
    }

    /// Whether it holds for the run that made it hold, and is of no use to another.
    pub fn is_of_one_run(&self) -> bool {
        self.traits().lifetime == Lifetime::WhileNeeded
    }

    /// What it restarts or reloads on a node that is in use already.
    pub fn interrupts(&self) -> Option<Interruption> {
        // A worker's kubelet runs on with its first certificate.
        let is_first = matches!(
            self,
            Self::Kubeadm(KubeadmGoal::KubeletCertificate, node) if !node.is_control_plane()
        );
        self.traits().interrupts.filter(|_| !is_first)
    }

    /// The part of a run's join material that its operation must bring along.
    pub fn material(&self) -> Material {
        let needs_none = matches!(
            self,
            Self::Kubeadm(_, node) | Self::Etcd(EtcdGoal::EtcdMember(node))
                if node.entry == Entry::Founder
        );
        if needs_none { Material::None } else { self.traits().material }
    }

    /// Whether it puts a bootstrap token of the run into the cluster. Goals of a node use one.
    pub fn creates_token(&self) -> bool {
        matches!(self, Self::Cluster(_)) && self.material() != Material::None
    }

    /// What a node does while it works on the goal, such as "joining etcd".
    pub fn doing(&self) -> String {
        self.fill(self.traits().doing)
    }

    /// What is true once the goal is satisfied, such as "etcd has its member here".
    pub fn done(&self) -> String {
        self.fill(self.traits().done)
    }

    fn fill(&self, text: &str) -> String {
        let label = self.label();
        goal_id::fill(text, label.as_deref().or_else(|| self.name()))
    }
}
