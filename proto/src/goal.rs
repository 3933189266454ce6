//! Goals: what must hold on a node, as plain data. A goal never says what to run.

mod host;
mod kubeadm;
mod serving;

pub use host::{
    Archive, Containerd, Hosts, Images, KernelModules, Package, PackageSource, Packages, Release,
    Service, Sysctls,
};
pub use kubeadm::{Cluster, Endpoint, Entry, ExtraArgs, KubeNode, Peer};
use serde::{Deserialize, Serialize};
pub use serving::{Backend, HealthCheck, LoadBalancer, Manifest, Offer};

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
}

impl Goal {
    /// Names the goal among all goals of a node; the same goal has the same id in every plan.
    pub fn id(&self) -> String {
        match self {
            Self::ServiceRunning(service) => format!("{}:{}", self.kind(), service.unit),
            Self::PackageSource(source) => format!("{}:{}", self.kind(), source.name),
            Self::NodeReady(node) => format!("{}:{node}", self.kind()),
            Self::Hosts(_)
            | Self::SwapOff
            | Self::KernelModules(_)
            | Self::Sysctls(_)
            | Self::Packages(_)
            | Self::Containerd(_)
            | Self::Images(_)
            | Self::LoadBalancer(_)
            | Self::Certificates(_)
            | Self::Kubeconfigs(_)
            | Self::KubeletStarted(_)
            | Self::EtcdMember(_)
            | Self::StaticPods(_)
            | Self::ApiServerReady(_)
            | Self::KubeletCertificate(_)
            | Self::ControlPlaneMarked(_)
            | Self::AdminKubeconfig(_)
            | Self::ClusterConfig(_)
            | Self::JoinAccess(_)
            | Self::Addons(_)
            | Self::JoinOffered(_)
            | Self::JoinWithdrawn(_)
            | Self::Network(_)
            | Self::SystemPodsReady
            | Self::EtcdHealthy(_)
            | Self::EndpointReady(_)
            | Self::BackendsUp(_)
            | Self::ClusterDns(_) => self.kind().to_owned(),
        }
    }

    /// Whether Kubernetes brings it about by itself, so that to see to it is to wait.
    pub fn is_awaited(&self) -> bool {
        match self {
            Self::ApiServerReady(_)
            | Self::NodeReady(_)
            | Self::SystemPodsReady
            | Self::EtcdHealthy(_)
            | Self::EndpointReady(_)
            | Self::BackendsUp(_)
            | Self::ClusterDns(_) => true,
            Self::Hosts(_)
            | Self::SwapOff
            | Self::KernelModules(_)
            | Self::Sysctls(_)
            | Self::PackageSource(_)
            | Self::Packages(_)
            | Self::Containerd(_)
            | Self::ServiceRunning(_)
            | Self::Images(_)
            | Self::LoadBalancer(_)
            | Self::Certificates(_)
            | Self::Kubeconfigs(_)
            | Self::KubeletStarted(_)
            | Self::EtcdMember(_)
            | Self::StaticPods(_)
            | Self::KubeletCertificate(_)
            | Self::ControlPlaneMarked(_)
            | Self::AdminKubeconfig(_)
            | Self::ClusterConfig(_)
            | Self::JoinAccess(_)
            | Self::Addons(_)
            | Self::JoinOffered(_)
            | Self::JoinWithdrawn(_)
            | Self::Network(_) => false,
        }
    }

    /// Whether it holds for the run that made it hold, and is of no use to another.
    pub fn is_of_one_run(&self) -> bool {
        matches!(self, Self::JoinOffered(_))
    }

    /// The kind of goal, as documents and messages name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hosts(_) => "hosts",
            Self::SwapOff => "swap-off",
            Self::KernelModules(_) => "kernel-modules",
            Self::Sysctls(_) => "sysctls",
            Self::PackageSource(_) => "package-source",
            Self::Packages(_) => "packages",
            Self::Containerd(_) => "containerd",
            Self::ServiceRunning(_) => "service-running",
            Self::Images(_) => "images",
            Self::LoadBalancer(_) => "load-balancer",
            Self::Certificates(_) => "certificates",
            Self::Kubeconfigs(_) => "kubeconfigs",
            Self::KubeletStarted(_) => "kubelet-started",
            Self::EtcdMember(_) => "etcd-member",
            Self::StaticPods(_) => "static-pods",
            Self::ApiServerReady(_) => "api-server-ready",
            Self::KubeletCertificate(_) => "kubelet-certificate",
            Self::ControlPlaneMarked(_) => "control-plane-marked",
            Self::AdminKubeconfig(_) => "admin-kubeconfig",
            Self::ClusterConfig(_) => "cluster-config",
            Self::JoinAccess(_) => "join-access",
            Self::Addons(_) => "addons",
            Self::JoinOffered(_) => "join-offered",
            Self::JoinWithdrawn(_) => "join-withdrawn",
            Self::Network(_) => "network",
            Self::NodeReady(_) => "node-ready",
            Self::SystemPodsReady => "system-pods-ready",
            Self::EtcdHealthy(_) => "etcd-healthy",
            Self::EndpointReady(_) => "endpoint-ready",
            Self::BackendsUp(_) => "backends-up",
            Self::ClusterDns(_) => "cluster-dns",
        }
    }
}
