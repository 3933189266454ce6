//! The table of goals: one row a goal, and the only place that lists them all.

use std::fmt;
use std::time::Duration;

use super::{BalancerGoal, ClusterGoal, EtcdGoal, Goal, HostGoal, KubeadmGoal, RuntimeGoal};
use crate::trust::Role;

/// What does not depend on a goal's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// What a node does while it works on the goal. Braces stand for the goal's name; where an id
    /// has none, what is between them takes its place.
    pub doing: &'static str,
    /// What is true once the goal is satisfied; braces as in `doing`.
    pub done: &'static str,
    /// After this long a person would want to know why it still runs: about ten times what it took
    /// on two slow cores, and never less than what kubeadm itself waits for, which is 2 min for
    /// etcd, 4 for an API server and 5 for a kubelet's certificate.
    pub deadline: Duration,
    /// What it restarts or reloads on a node that is in use already.
    pub interrupts: Option<Interruption>,
    /// Whether it has to hold before anything that serves is interrupted.
    pub before_disruptions: bool,
    /// The least role whose operation for it an agent carries out.
    pub least_role: Role,
    /// What its operation must bring along, unless its node runs `kubeadm init`: see
    /// [`Goal::material`].
    pub material: Material,
    pub brought_about: By,
    pub lifetime: Lifetime,
    pub asks: Asks,
}

/// A service that a goal restarts or reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    Containerd,
    Balancer,
    Kubelet,
    Etcd,
    /// API server, controller manager and scheduler.
    ControlPlane,
    KubeProxy,
    /// The pods of the network plugin.
    Network,
}

impl fmt::Display for Interruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containerd => "restarts containerd",
            Self::Balancer => "reloads haproxy",
            Self::Kubelet => "restarts the kubelet",
            Self::KubeProxy => "restarts kube-proxy if its configuration changes",
            Self::Network => "restarts the network plugin if its manifest changes",
            Self::Etcd => "restarts etcd if its manifest changes",
            Self::ControlPlane => {
                "restarts the API server, controller manager and scheduler whose manifest changes"
            }
        })
    }
}

/// The part of a run's join material that a goal uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Material {
    None,
    /// The bootstrap token.
    Token,
    /// The bootstrap token, and the key of the sealed certificates.
    TokenAndCertificates,
}

/// What makes a goal hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The agent's `apply`.
    Apply,
    /// Kubernetes by itself: `apply` waits.
    Kubernetes,
}

/// How long a goal has to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    Lasting,
    /// While other steps of the same run need it; of no use to another run.
    WhileNeeded,
    /// It deletes what was needed, also where some of the steps before it failed.
    Cleanup,
}

/// What must answer before a check can tell whether a goal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Its own machine only, or no answer is a finding too.
    Machine,
    Api,
    Etcd,
}

const fn text(doing: &'static str, done: &'static str) -> Traits {
    Traits {
        doing,
        done,
        deadline: Duration::from_secs(180),
        interrupts: None,
        before_disruptions: false,
        least_role: Role::Operator,
        material: Material::None,
        brought_about: By::Apply,
        lifetime: Lifetime::Lasting,
        asks: Asks::Machine,
    }
}

impl Traits {
    const fn within_s(self, seconds: u64) -> Self {
        Self { deadline: Duration::from_secs(seconds), ..self }
    }

    const fn interrupts(self, interruption: Interruption) -> Self {
        Self { interrupts: Some(interruption), ..self }
    }

    const fn before_disruptions(self) -> Self {
        Self { before_disruptions: true, ..self }
    }

    const fn by_admin(self) -> Self {
        Self { least_role: Role::Admin, ..self }
    }

    const fn with(self, material: Material) -> Self {
        Self { material, ..self }
    }

    const fn awaited(self) -> Self {
        Self { brought_about: By::Kubernetes, ..self }
    }

    const fn lives(self, lifetime: Lifetime) -> Self {
        Self { lifetime, ..self }
    }

    const fn asks(self, asks: Asks) -> Self {
        Self { asks, ..self }
    }
}

/// Makes `Family`, `Kind` and what depends on them alone of the rows below.
macro_rules! table {
    ($($family:ident($goals:ident) {$(
        $kind:ident $text:literal
        $(named |$named:ident| $name:expr,)?
        $(shown |$shown:ident| $label:expr,)?
        => $traits:expr;
    )*})*) => {
        /// The family of a goal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Family { $($family,)* }

        /// The kind of a goal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($($kind,)*)* }

        impl Kind {
            /// All kinds, in the order of the table.
            pub const ALL: &[Self] = &[$($(Self::$kind,)*)*];

            /// The kind in documents, ids and messages.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$kind => $text,)*)* }
            }

            /// The kind of this name.
            pub fn of(text: &str) -> Option<Self> {
                match text { $($($text => Some(Self::$kind),)*)* _ => None }
            }

            pub(super) fn family(self) -> Family {
                match self { $($(Self::$kind)|* => Family::$family,)* }
            }

            /// Its row of the table.
            pub fn traits(self) -> Traits {
                match self { $($(Self::$kind => $traits,)*)* }
            }
        }

        impl Goal {
            /// The goal's kind.
            pub fn kind(&self) -> Kind {
                match self { $($(Self::$family($goals::$kind { .. }, ..) => Kind::$kind,)*)* }
            }

            /// Tells it from the node's other goals of its kind.
            pub(super) fn name(&self) -> Option<&str> {
                $($($(if let Self::$family($goals::$kind($named), ..) = self {
                    return Some($name);
                })?)*)*
                None
            }

            /// What its words name in place of its name.
            pub(super) fn label(&self) -> Option<String> {
                $($($(if let Self::$family($goals::$kind($shown), ..) = self {
                    return Some($label);
                })?)*)*
                None
            }
        }
    };
}

table! {
    Host(HostGoal) {
        Hosts "hosts"
            => text("naming nodes in /etc/hosts", "nodes are named in /etc/hosts").within_s(60);
        SwapOff "swap-off"
            => text("turning swap off", "swap is off").within_s(60);
        KernelModules "kernel-modules"
            => text("loading kernel modules", "kernel modules are loaded").within_s(60);
        Sysctls "sysctls"
            => text("setting kernel parameters", "kernel parameters are set").within_s(60);
        PackageSource "package-source" named |source| &source.name,
            => text("adding the package source {}", "the package source {} is known").within_s(900);
        Packages "packages"
            => text("installing packages", "packages are installed and held").within_s(900);
        ServiceRunning "service-running" named |service| &service.unit,
            => text("starting {}", "{} runs");
    }

    Runtime(RuntimeGoal) {
        Containerd "containerd"
            => text("configuring containerd", "containerd is configured")
                .interrupts(Interruption::Containerd);
        Images "images"
            => text("bringing in images", "images are here").within_s(1_800);
    }

    Balancer(BalancerGoal) {
        LoadBalancer "load-balancer"
            => text("configuring HAProxy", "HAProxy is configured")
                .interrupts(Interruption::Balancer);
        BackendsUp "backends-up"
            => text("waiting for HAProxy's backends", "all of HAProxy's backends are up").awaited();
    }

    Kubeadm(KubeadmGoal) {
        Certificates "certificates"
            => text("making certificates", "certificates are made")
                .with(Material::TokenAndCertificates);
        Kubeconfigs "kubeconfigs"
            => text("writing kubeconfigs", "kubeconfigs are written");
        KubeletStarted "kubelet-started"
            => text("starting the kubelet", "the kubelet runs")
                .with(Material::Token).interrupts(Interruption::Kubelet);
        StaticPods "static-pods"
            => text("starting the control plane's pods", "the control plane's pods are in place")
                .interrupts(Interruption::ControlPlane);
        ApiServerReady "api-server-ready"
            => text("bringing up the API server", "the API server here is ready").within_s(360)
                .awaited().before_disruptions();
        KubeletCertificate "kubelet-certificate"
            => text("getting the kubelet its certificate", "the kubelet has its certificate")
                .within_s(360).with(Material::Token).interrupts(Interruption::Kubelet);
        ControlPlaneMarked "control-plane-marked"
            => text("marking the node as control plane", "the node is marked as control plane")
                .asks(Asks::Api);
        AdminKubeconfig "admin-kubeconfig"
            => text("writing root's kubeconfig", "root's kubeconfig is written");
    }

    Etcd(EtcdGoal) {
        EtcdMember "etcd-member"
            => text("joining etcd", "etcd has its member here").within_s(300)
                .with(Material::Token).interrupts(Interruption::Etcd).before_disruptions().asks(Asks::Etcd);
        EtcdHealthy "etcd-healthy"
            => text("waiting for etcd", "etcd has all its voters, healthy, with one leader")
                .within_s(300).awaited().asks(Asks::Etcd);
        EtcdMemberRemoved "etcd-member-removed"
            named |member| member.node.as_str(), shown |member| member.to_string(),
            => text("removing the etcd member {}", "the etcd member {} is removed")
                .by_admin().asks(Asks::Etcd);
    }

    Cluster(ClusterGoal) {
        ClusterConfig "cluster-config"
            => text("storing the cluster's configuration", "the cluster's configuration is stored")
                .asks(Asks::Api).before_disruptions();
        JoinAccess "join-access"
            => text("letting nodes join", "nodes may join").with(Material::Token).asks(Asks::Api);
        Addons "addons"
            => text("installing CoreDNS and kube-proxy", "CoreDNS and kube-proxy are installed")
                .within_s(600).interrupts(Interruption::KubeProxy).asks(Asks::Api);
        JoinOffered "join-offered"
            => text("creating a bootstrap token", "a bootstrap token exists")
                .with(Material::TokenAndCertificates).lives(Lifetime::WhileNeeded).asks(Asks::Api);
        JoinWithdrawn "join-withdrawn"
            => text("deleting the bootstrap token", "quorate's bootstrap tokens are deleted")
                .lives(Lifetime::Cleanup).asks(Asks::Api);
        Network "network" shown |manifest| manifest.name.clone(),
            => text("installing {the network plugin}", "{the network plugin} is installed")
                .within_s(600).interrupts(Interruption::Network).asks(Asks::Api);
        NodesReady "nodes-ready"
            => text("waiting for nodes to be Ready", "all nodes are Ready").within_s(360).awaited()
                .asks(Asks::Api);
        SystemPodsReady "system-pods-ready"
            => text("waiting for the system's pods", "all system pods are ready").within_s(600)
                .awaited().asks(Asks::Api);
        EndpointReady "endpoint-ready"
            => text("waiting for the endpoint", "the API answers through the endpoint").awaited();
        ClusterDns "cluster-dns"
            => text("waiting for the cluster's DNS", "the cluster's DNS answers").within_s(300)
                .awaited().asks(Asks::Api);
        NodeRemoved "node-removed" named |removal| removal.node.as_str(),
            => text("deleting node {} and its system pods", "node {} and its system pods are gone")
                .by_admin().asks(Asks::Api);
        NodeScheduling "node-scheduling"
            named |it| it.node.as_str(), shown |it| it.label(),
            => text("marking node {}", "the cluster has node {}").within_s(60).asks(Asks::Api);
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
