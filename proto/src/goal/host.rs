//! Goals that make a machine fit for Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::grammar as is;
use super::validate::{Invalid, few, text, url};
use crate::id::NodeName;

/// A goal of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostGoal {
    Hosts(Hosts),
    SwapOff,
    KernelModules(KernelModules),
    Sysctls(Sysctls),
    PackageSource(PackageSource),
    Packages(Packages),
    ServiceRunning(Service),
}

/// /etc/hosts names these nodes, in a block of our own.
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

/// A unit is active, and enabled for the next boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Without `.service`.
    pub unit: String,
}

impl HostGoal {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Hosts(Hosts { entries }) => few("the list of hosts", entries.len()),
            Self::SwapOff => Ok(()),
            Self::KernelModules(goal) => goal.validate(),
            Self::Sysctls(goal) => goal.validate(),
            Self::PackageSource(goal) => goal.validate(),
            Self::Packages(goal) => goal.validate(),
            Self::ServiceRunning(Service { unit }) => {
                // Any other service could be a root shell.
                let good = ["containerd", "haproxy", "kubelet"].contains(&unit.as_str());
                text("the service", unit, good, "one that a node of a cluster needs")
            }
        }
    }
}

impl KernelModules {
    fn validate(&self) -> Result<(), Invalid> {
        few("the list of modules", self.modules.len())?;
        self.modules.iter().try_for_each(|module| {
            text("the kernel module", module, is::module(module), "a module's name")
        })
    }
}

impl Sysctls {
    fn validate(&self) -> Result<(), Invalid> {
        few("the list of kernel parameters", self.values.len())?;
        self.values.iter().try_for_each(|(key, value)| {
            text("the kernel parameter", key, is::sysctl(key), "one that quorate sets")?;
            let wanted = "a number, up to four of them, or a plain word";
            text("the value of a kernel parameter", value, is::sysctl_value(value), wanted)
        })
    }
}

impl PackageSource {
    fn validate(&self) -> Result<(), Invalid> {
        let Self { name, url: address, suite, components, key } = self;
        let wanted = "a name of letters, digits, '-' and '_'";
        text("the repository's name", name, is::source_name(name), wanted)?;
        url("the repository", address)?;
        few("the list of components", components.len())?;
        components.iter().chain([suite]).try_for_each(|word| {
            let wanted = "one word that begins with no dash";
            text("the suite or component", word, is::word(word), wanted)
        })?;
        let private = key.contains("PRIVATE KEY");
        let good = is::lines(key, is::KEY) && !private;
        let shown = if private { "(a private key)" } else { key };
        text("the repository's key", shown, good, "an armored public key of at most 1 MiB")
    }
}

impl Packages {
    fn validate(&self) -> Result<(), Invalid> {
        few("the list of packages", self.packages.len())?;
        self.packages.iter().try_for_each(|Package { name, version }| {
            text("the package", name, is::package(name), "a name of 2 to 128 of a-z, 0-9, '+.-'")?;
            let version = version.as_deref().unwrap_or("0");
            let wanted = "a digit and up to 63 letters, digits and '.+:~_-'";
            text("the package's version", version, is::package_version(version), wanted)
        })
    }
}
