//! Goals of what serves the cluster: load balancer, join offer, manifests.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::kubeadm::KubeNode;
use crate::digest::Sha256;
use crate::id::NodeName;

/// HAProxy spreads the endpoint's port over the API servers, with exactly this configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// Where it listens, on all addresses.
    pub port: u16,
    pub health_check: HealthCheck,
    pub backends: Vec<Backend>,
}

/// How HAProxy tells whether an API server can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthCheck {
    /// `GET /readyz` over TLS every second: an API server without etcd is taken out.
    Readyz,
    /// The guide's `option tcp-check`: a port that accepts is up.
    Tcp,
}

/// One API server behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub node: NodeName,
    pub address: IpAddr,
    pub port: u16,
}

/// The cluster lets nodes join, by the material that came with the order.
///
/// Transient: it holds while joins are under way and is withdrawn after the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    pub on: KubeNode,
    /// Control planes will join: the shared certificates are offered too.
    pub certificates: bool,
}

/// The objects of a manifest exist in the cluster as it has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What it installs, such as `flannel`.
    pub name: String,
    /// YAML, one or more documents.
    pub yaml: String,
    /// Of `yaml`; the cluster remembers which manifest was applied by it.
    pub sha256: Sha256,
}
