//! Goals: what must hold on a node, as plain data. A goal never says what to run.

mod grammar;
mod host;
mod kubeadm;
mod removal;
mod serving;
mod validate;

pub use host::{
    Archive, Containerd, Hosts, Images, KernelModules, Package, PackageSource, Packages, Release,
    Service, Sysctls,
};
pub use kubeadm::{Cluster, Endpoint, Entry, ExtraArgs, KubeNode, Peer, REGISTRY};
pub use removal::{MemberRemoval, NodeRemoval};
use serde::{Deserialize, Serialize};
pub use serving::{Backend, HealthCheck, LoadBalancer, Manifest, Offer};
pub use validate::Invalid;

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
    /// Names the goal among all goals of a node; the same goal has the same id in every plan.
    pub fn id(&self) -> String {
        let Traits { kind, name, .. } = self.traits();
        name.map_or_else(|| kind.to_owned(), |name| format!("{kind}:{name}"))
    }

    /// Whether Kubernetes brings it about by itself, so that to see to it is to wait.
    pub fn is_awaited(&self) -> bool {
        self.traits().awaited
    }

    /// Whether it holds for the run that made it hold, and is of no use to another.
    pub fn is_of_one_run(&self) -> bool {
        matches!(self, Self::JoinOffered(_))
    }

    /// The kind of goal, as documents and messages name it.
    pub fn kind(&self) -> &'static str {
        self.traits().kind
    }

    /// The one table of goals.
    fn traits(&self) -> Traits<'_> {
        match self {
            Self::Hosts(_) => Traits::of("hosts"),
            Self::SwapOff => Traits::of("swap-off"),
            Self::KernelModules(_) => Traits::of("kernel-modules"),
            Self::Sysctls(_) => Traits::of("sysctls"),
            Self::PackageSource(source) => Traits::of("package-source").named(&source.name),
            Self::Packages(_) => Traits::of("packages"),
            Self::Containerd(_) => Traits::of("containerd"),
            Self::ServiceRunning(service) => Traits::of("service-running").named(&service.unit),
            Self::Images(_) => Traits::of("images"),
            Self::LoadBalancer(_) => Traits::of("load-balancer"),
            Self::Certificates(_) => Traits::of("certificates"),
            Self::Kubeconfigs(_) => Traits::of("kubeconfigs"),
            Self::KubeletStarted(_) => Traits::of("kubelet-started"),
            Self::EtcdMember(_) => Traits::of("etcd-member"),
            Self::StaticPods(_) => Traits::of("static-pods"),
            Self::ApiServerReady(_) => Traits::of("api-server-ready").awaited(),
            Self::KubeletCertificate(_) => Traits::of("kubelet-certificate"),
            Self::ControlPlaneMarked(_) => Traits::of("control-plane-marked"),
            Self::AdminKubeconfig(_) => Traits::of("admin-kubeconfig"),
            Self::ClusterConfig(_) => Traits::of("cluster-config"),
            Self::JoinAccess(_) => Traits::of("join-access"),
            Self::Addons(_) => Traits::of("addons"),
            Self::JoinOffered(_) => Traits::of("join-offered"),
            Self::JoinWithdrawn(_) => Traits::of("join-withdrawn"),
            Self::Network(_) => Traits::of("network"),
            Self::NodeReady(node) => Traits::of("node-ready").named(node.as_str()).awaited(),
            Self::SystemPodsReady => Traits::of("system-pods-ready").awaited(),
            Self::EtcdHealthy(_) => Traits::of("etcd-healthy").awaited(),
            Self::EndpointReady(_) => Traits::of("endpoint-ready").awaited(),
            Self::BackendsUp(_) => Traits::of("backends-up").awaited(),
            Self::ClusterDns(_) => Traits::of("cluster-dns").awaited(),
            Self::EtcdMemberRemoved(member) => {
                Traits::of("etcd-member-removed").named(member.node.as_str())
            }
            Self::NodeRemoved(removal) => Traits::of("node-removed").named(removal.node.as_str()),
        }
    }
}

/// What tells one goal from another.
struct Traits<'a> {
    /// As serde names it, too.
    kind: &'static str,
    /// Where a node may have several goals of the kind.
    name: Option<&'a str>,
    awaited: bool,
}

impl<'a> Traits<'a> {
    fn of(kind: &'static str) -> Self {
        Self { kind, name: None, awaited: false }
    }

    fn named(self, name: &'a str) -> Self {
        Self { name: Some(name), ..self }
    }

    fn awaited(self) -> Self {
        Self { awaited: true, ..self }
    }
}
