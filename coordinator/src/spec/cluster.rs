//! The specification, once it is known to make sense. Built by `load` alone, so that what it cannot
//! express need not be checked again: no two nodes of one name or address, at least one control
//! plane, a version that quorate drives, networks that do not overlap.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use quorate_proto::goal::{Archive, Endpoint, ExtraArgs, HealthCheck, Manifest, PackageSource};
use quorate_proto::{KubernetesVersion, NodeName};
use serde::Serialize;
use serde_json::{Map, Value};

/// What a cluster must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    pub name: String,
    pub version: KubernetesVersion,
    pub endpoint: Endpoint,
    /// Where each API server listens.
    pub api_port: u16,
    pub network: Network,
    /// HAProxy on the nodes of role load-balancer; `None`: someone else provides the endpoint.
    pub load_balancer: Option<HealthCheck>,
    /// In the order of the file, ranges expanded.
    pub nodes: Vec<NodeSpec>,
    pub kubeadm: Kubeadm,
    pub containerd: ContainerdSettings,
    pub packages: PackageSettings,
    pub images: Vec<Archive>,
    /// How many workers may join at once.
    pub worker_joins: usize,
}

/// The cluster's networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub pod_subnet: IpNet,
    pub service_subnet: IpNet,
    pub dns_domain: String,
    pub plugin: Plugin,
}

/// Who connects the pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plugin {
    /// The manifest to apply, and the images that it needs.
    Manifest { manifest: Manifest, images: BTreeSet<String> },
    /// Someone else applies one.
    None,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    pub name: NodeName,
    pub address: IpAddr,
    /// Where its agent listens.
    pub agent_port: u16,
    pub roles: BTreeSet<Role>,
}

/// What a node is for. A worker is nothing else; a control plane may balance the load too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    LoadBalancer,
    ControlPlane,
    Worker,
}

/// What is set over kubeadm's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kubeadm {
    pub kubelet_configuration: Map<String, Value>,
    pub kube_proxy_configuration: Map<String, Value>,
    pub extra_args: ExtraArgs,
    pub ignore_preflight_errors: Vec<String>,
    pub image_repository: Option<String>,
    pub cert_sans: Vec<String>,
}

/// What is set over containerd's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerdSettings {
    pub sandbox_image: String,
    pub systemd_cgroup: bool,
    pub restrict_oom_score_adj: bool,
}

/// Where packages come from, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageSettings {
    /// `None`: the nodes' own sources are used as they are.
    pub repository: Option<PackageSource>,
    /// Of kubeadm, kubelet and kubectl: `1.35.4-1.1`.
    pub kubernetes: String,
}

impl ClusterSpec {
    /// The nodes of one role, in the order of the file.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = &NodeSpec> {
        self.nodes.iter().filter(move |node| node.roles.contains(&role))
    }
}
