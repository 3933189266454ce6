//! Goals that make a machine fit for Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::id::NodeName;
use crate::version::KubernetesVersion;

/// /etc/hosts names every node, in a block of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    pub entries: BTreeMap<NodeName, IpAddr>,
}

/// Modules are loaded or built in, and are named in /etc/modules-load.d/k8s.conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelModules {
    pub modules: BTreeSet<String>,
}

/// Kernel parameters have these values now, and after a boot by /etc/sysctl.d/k8s.conf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctls {
    /// By dotted name, such as `net.ipv4.ip_forward`.
    pub values: BTreeMap<String, String>,
}

/// apt knows a repository: /etc/apt/sources.list.d/NAME.sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageSource {
    pub name: String,
    pub url: String,
    /// A suite, or a path that ends in `/` for a flat repository.
    pub suite: String,
    pub components: Vec<String>,
    /// The armored public key that signs it.
    pub key: String,
}

/// Packages are installed in these versions and held there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    /// The exact version, such as `1.35.4-1.1`, then held; without one any version will do.
    pub version: Option<String>,
}

/// containerd is configured for the kubelet (/etc/containerd/config.toml) and runs with that file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containerd {
    /// The pause image that kubeadm's version asks for.
    pub sandbox_image: String,
    /// cgroups are made by systemd, as the kubelet's `cgroupDriver: systemd` needs.
    pub systemd_cgroup: bool,
    /// For machines whose containerd lacks `CAP_SYS_RESOURCE`.
    pub restrict_oom_score_adj: bool,
}

/// A unit is active, and enabled for the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Without `.service`.
    pub unit: String,
}

/// containerd holds the images that the node needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    pub release: Release,
    /// Further images, such as the network plugin's: full names with tags.
    pub names: BTreeSet<String>,
    /// Where missing images come from; empty: they are pulled from their registries.
    pub archives: Vec<Archive>,
}

/// The images that `kubeadm config images list` names for a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub version: KubernetesVersion,
    /// `imageRepository`, where it is not registry.k8s.io.
    pub image_repository: Option<String>,
    /// A worker needs only kube-proxy, CoreDNS and pause.
    pub control_plane: bool,
}

/// An image archive, as `docker save` or `ctr images export` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// http, https or file.
    pub url: String,
    pub sha256: Sha256,
    /// The images in it; empty: not told, so it is imported wherever an image is missing.
    pub names: BTreeSet<String>,
}
