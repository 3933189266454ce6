//! What kubeadm's goals need to know of the cluster and of the node.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Sha256;
use crate::id::NodeName;
use crate::version::KubernetesVersion;

/// Where the images of Kubernetes come from, unless a specification names another repository.
pub const REGISTRY: &str = "registry.k8s.io";

/// A node as kubeadm's goals see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubeNode {
    pub node: NodeName,
    /// What the node advertises: its address in the specification.
    pub address: IpAddr,
    pub entry: Entry,
    pub cluster: Cluster,
}

impl KubeNode {
    /// Whether the node runs a control plane.
    pub fn is_control_plane(&self) -> bool {
        self.entry != Entry::Worker
    }
}

/// How a node comes into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// `kubeadm init`: the first control plane.
    Founder,
    /// `kubeadm join --control-plane`.
    ControlPlane,
    /// `kubeadm join`.
    Worker,
}

/// The cluster, as all its nodes must agree on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    pub name: String,
    pub version: KubernetesVersion,
    pub endpoint: Endpoint,
    /// Where each API server listens on its own address.
    pub api_port: u16,
    pub pod_subnet: IpNet,
    pub service_subnet: IpNet,
    pub dns_domain: String,
    /// The certificate authority that the founded cluster has; `None` before the founding.
    /// A node that holds another is refused.
    pub ca: Option<Sha256>,
    /// All control planes of the specification, the founding guard among them.
    pub control_planes: Vec<Peer>,
    /// Further names and addresses in the API servers' certificates.
    pub cert_sans: Vec<String>,
    /// Merged over the KubeletConfiguration that quorate writes.
    pub kubelet: Map<String, Value>,
    /// Merged over the KubeProxyConfiguration that quorate writes.
    pub kube_proxy: Map<String, Value>,
    pub extra_args: ExtraArgs,
    /// Names of preflight checks that may fail, such as `SystemVerification`.
    pub ignore_preflight_errors: Vec<String>,
    /// `imageRepository`, where it is not registry.k8s.io.
    pub image_repository: Option<String>,
}

impl Cluster {
    /// The image of one of Kubernetes' own components.
    pub fn image(&self, component: &str) -> String {
        let repository = self.image_repository.as_deref().unwrap_or(REGISTRY);
        format!("{repository}/{component}:{}", self.version)
    }
}

/// Arguments for each component, over kubeadm's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraArgs {
    pub api_server: BTreeMap<String, String>,
    pub controller_manager: BTreeMap<String, String>,
    pub scheduler: BTreeMap<String, String>,
    pub etcd: BTreeMap<String, String>,
    pub kubelet: BTreeMap<String, String>,
}

/// A control plane, by name and address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub node: NodeName,
    pub address: IpAddr,
}

/// The address at which clients reach the cluster, kubeadm's `controlPlaneEndpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// An address or a DNS name.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse() {
            Ok(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Ok(IpAddr::V4(_)) | Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
