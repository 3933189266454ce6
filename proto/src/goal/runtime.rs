//! Goals of the container runtime.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::validate::{Invalid, few, image, url};
use crate::digest::Sha256;
use crate::version::KubernetesVersion;

/// A goal of containerd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimeGoal {
    Containerd(Containerd),
    Images(Images),
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

impl RuntimeGoal {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Containerd(Containerd { sandbox_image, .. }) => image(sandbox_image),
            Self::Images(goal) => goal.validate(),
        }
    }
}

impl Images {
    fn validate(&self) -> Result<(), Invalid> {
        let Self { release, names, archives } = self;
        release.image_repository.iter().try_for_each(|name| image(name))?;
        few("the list of images", names.len())?;
        names.iter().try_for_each(|name| image(name))?;
        few("the list of image archives", archives.len())?;
        archives.iter().try_for_each(|Archive { url: address, sha256: _, names }| {
            url("the image archive", address)?;
            few("the list of an archive's images", names.len())?;
            names.iter().try_for_each(|name| image(name))
        })
    }
}
