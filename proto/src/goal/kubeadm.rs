//! Goals of kubeadm's phases, and what they need to know of the node and its cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::grammar as is;
use super::validate::{Invalid, few, image, text};
use crate::digest::Sha256;
use crate::id::NodeName;
use crate::version::KubernetesVersion;

/// Where the images of Kubernetes come from, unless a specification names another repository.
pub const REGISTRY: &str = "registry.k8s.io";

/// A goal of kubeadm's phases, in the order in which a control plane comes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KubeadmGoal {
    Certificates,
    Kubeconfigs,
    KubeletStarted,
    StaticPods,
    ApiServerReady,
    KubeletCertificate,
    ControlPlaneMarked,
    AdminKubeconfig,
}

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

impl KubeNode {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let Cluster {
            name,
            version: _,
            endpoint: Endpoint { host, port: _ },
            api_port: _,
            pod_subnet: _,
            service_subnet: _,
            dns_domain,
            ca: _,
            control_planes,
            cert_sans,
            kubelet,
            kube_proxy,
            extra_args,
            ignore_preflight_errors,
            image_repository,
        } = &self.cluster;
        text("the cluster's name", name, is::label(name), "a DNS label")?;
        text("the endpoint", host, is::host(host), "an address or a DNS name")?;
        text("the cluster's domain", dns_domain, is::dns_name(dns_domain), "a DNS name")?;
        few("the list of control planes", control_planes.len())?;
        few("the list of names in certificates", cert_sans.len())?;
        cert_sans.iter().try_for_each(|name| {
            text("the name in certificates", name, is::host(name), "an address or a DNS name")
        })?;
        configuration(kubelet)?;
        configuration(kube_proxy)?;
        extra_args.validate()?;
        few("the list of preflight checks", ignore_preflight_errors.len())?;
        ignore_preflight_errors.iter().try_for_each(|check| {
            text("the preflight check", check, is::preflight_check(check), "a check of kubeadm's")
        })?;
        image_repository.iter().try_for_each(|name| image(name))
    }
}

impl ExtraArgs {
    fn validate(&self) -> Result<(), Invalid> {
        let Self { api_server, controller_manager, scheduler, etcd, kubelet } = self;
        for arguments in [api_server, controller_manager, scheduler, etcd, kubelet] {
            few("the list of arguments", arguments.len())?;
            for (name, value) in arguments {
                text("the argument", name, is::argument(name), "a name without dashes before it")?;
                text("the value of an argument", value, is::line(value), LINE)?;
            }
        }
        Ok(())
    }
}

/// serde_json reads nothing that is nested deeper than 128.
fn configuration(fields: &Map<String, Value>) -> Result<(), Invalid> {
    few("the list of fields", fields.len())?;
    fields.iter().try_for_each(|(name, value)| {
        text("the field", name, is::line(name), LINE)?;
        value_of_field(value)
    })
}

fn value_of_field(value: &Value) -> Result<(), Invalid> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(value) => text("the value of a field", value, is::line(value), LINE),
        Value::Array(values) => {
            few("the list in a field", values.len())?;
            values.iter().try_for_each(value_of_field)
        }
        Value::Object(fields) => configuration(fields),
    }
}

const LINE: &str = "one line of at most 4096 bytes without control characters";
