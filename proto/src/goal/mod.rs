//! Goals: what must hold on a node, as plain data. A goal never says what to run.

mod grammar;
mod host;
mod kubeadm;
mod removal;
mod serving;
mod table;
mod validate;

pub use host::{
    Archive, Containerd, Hosts, Images, KernelModules, Package, PackageSource, Packages, Release,
    Service, Sysctls,
};
pub use kubeadm::{Cluster, Endpoint, Entry, ExtraArgs, KubeNode, Peer, REGISTRY};
pub use removal::{MemberRemoval, NodeRemoval};
use serde::{Deserialize, Serialize};
pub use serving::{Backend, HealthCheck, LoadBalancer, Manifest, Offer};
pub use table::{Asks, By, Interruption, Kind, Lifetime, Material, Traits};
pub use validate::Invalid;

use crate::goal_id::{self, GoalId};
use crate::id::NodeName;

/// Everything that quorate can make hold, or wait for, on a node.
///
/// Closed on purpose: a new goal must be looked at wherever goals are matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    // Preparing a machine.
    Hosts(Hosts),
    SwapOff,
    KernelModules(KernelModules),
    Sysctls(Sysctls),
    PackageSource(PackageSource),
    Packages(Packages),
    Containerd(Containerd),
    ServiceRunning(Service),
    Images(Images),
    LoadBalancer(LoadBalancer),

    // kubeadm's phases, in the order in which a control plane comes up.
    Certificates(KubeNode),
    Kubeconfigs(KubeNode),
    KubeletStarted(KubeNode),
    EtcdMember(KubeNode),
    StaticPods(KubeNode),
    ApiServerReady(KubeNode),
    KubeletCertificate(KubeNode),
    ControlPlaneMarked(KubeNode),
    AdminKubeconfig(KubeNode),

    // What the cluster holds once; any control plane can see to it.
    ClusterConfig(KubeNode),
    JoinAccess(KubeNode),
    Addons(KubeNode),
    /// A bootstrap token, and the sealed certificates where control planes will join.
    JoinOffered(Offer),
    /// No token and no certificates of ours are left in the cluster.
    JoinWithdrawn(KubeNode),
    Network(Manifest),

    // Outcomes that others bring about; to apply one is to wait for it.
    NodeReady(NodeName),
    /// Every static pod, addon and network pod in kube-system and the plugin's namespace is ready.
    SystemPodsReady,
    /// etcd's voters are exactly the control planes, all healthy, of one leader.
    EtcdHealthy(KubeNode),
    /// `/readyz` answers through the cluster's endpoint, and it is this cluster that answers.
    EndpointReady(KubeNode),
    /// Every backend of the load balancer is up.
    BackendsUp(LoadBalancer),
    /// The cluster's DNS answers for `kubernetes.default.svc`.
    ClusterDns(KubeNode),

    // What somebody asked to take away, on a control plane that stays.
    /// etcd has this member no more.
    EtcdMemberRemoved(MemberRemoval),
    /// The Node object is gone, and so are its pods in kube-system.
    NodeRemoved(NodeRemoval),
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
        let is_first = matches!(self, Self::KubeletCertificate(node) if !node.is_control_plane());
        self.traits().interrupts.filter(|_| !is_first)
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
