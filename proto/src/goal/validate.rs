//! Whether a goal, an order or join material may be carried out at all: pure, and asked twice.
//!
//! The agent's front end asks where it reads a message; the executor, which is root, asks again and
//! believes nobody. What the types know already (names, addresses, digests, versions) is not asked here.

use serde_json::{Map, Value};

use super::grammar as is;
use super::{
    Archive, Cluster, Containerd, Endpoint, ExtraArgs, Goal, Hosts, Images, KernelModules,
    KubeNode, LoadBalancer, Manifest, MemberRemoval, NodeRemoval, Offer, PackageSource, Packages,
    Service, Sysctls,
};
use crate::digest::Sha256;
use crate::id::{OperationId, Term};
use crate::secret::JoinMaterial;

/// A value that no agent takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("{field} {value:?} is not {wanted}; correct the specification")]
    Text { field: &'static str, value: String, wanted: &'static str },
    /// Its value is not shown.
    #[error("{field} is not {wanted}; run the same command again, which makes a new one")]
    Secret { field: &'static str, wanted: &'static str },
    #[error("{field} has {count} items, and {most} are the most")]
    Many { field: &'static str, count: usize, most: usize },
    /// Of an enrolment alone, which nobody calls for.
    #[error("a trust bundle has a generation from 1")]
    Generation,
    #[error("the digest of the manifest {0} is not that of its text; run the same command again")]
    Digest(String),
}

type Valid = Result<(), Invalid>;

/// How much of a wrong text a message shows.
const SHOWN: usize = 80;

fn text(field: &'static str, value: &str, good: bool, wanted: &'static str) -> Valid {
    if good {
        return Ok(());
    }
    let value = value.chars().take(SHOWN).collect();
    Err(Invalid::Text { field, value, wanted })
}

fn few(field: &'static str, count: usize) -> Valid {
    if count <= is::ITEMS { Ok(()) } else { Err(Invalid::Many { field, count, most: is::ITEMS }) }
}

impl Goal {
    /// Whether an agent looks at so many in one call, far above what any plan asks of a node.
    ///
    /// # Errors
    /// If they are too many.
    pub fn validate_count(count: usize) -> Result<(), Invalid> {
        few("the list of goals", count)
    }

    /// Whether an agent may look at it or make it hold.
    ///
    /// # Errors
    /// The first value that is not as its kind must be.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Hosts(Hosts { entries }) => few("the list of hosts", entries.len()),
            Self::SwapOff | Self::NodeReady(_) | Self::SystemPodsReady => Ok(()),
            Self::KernelModules(goal) => modules(goal),
            Self::Sysctls(goal) => sysctls(goal),
            Self::PackageSource(goal) => package_source(goal),
            Self::Packages(goal) => packages(goal),
            Self::Containerd(Containerd { sandbox_image, .. }) => image(sandbox_image),
            Self::ServiceRunning(Service { unit }) => {
                text("the service", unit, is::unit(unit), "one that a node of a cluster needs")
            }
            Self::Images(goal) => images(goal),
            Self::LoadBalancer(goal) | Self::BackendsUp(goal) => {
                let LoadBalancer { port: _, health_check: _, backends } = goal;
                few("the list of backends", backends.len())
            }
            Self::Network(goal) => manifest(goal),
            Self::JoinOffered(Offer { on, certificates: _ }) => node(on),
            Self::EtcdMemberRemoved(goal) => member(goal),
            Self::NodeRemoved(NodeRemoval { node: _, alive: _ }) => Ok(()),
            Self::Certificates(on)
            | Self::Kubeconfigs(on)
            | Self::KubeletStarted(on)
            | Self::EtcdMember(on)
            | Self::StaticPods(on)
            | Self::ApiServerReady(on)
            | Self::KubeletCertificate(on)
            | Self::ControlPlaneMarked(on)
            | Self::AdminKubeconfig(on)
            | Self::ClusterConfig(on)
            | Self::JoinAccess(on)
            | Self::Addons(on)
            | Self::JoinWithdrawn(on)
            | Self::EtcdHealthy(on)
            | Self::EndpointReady(on)
            | Self::ClusterDns(on) => node(on),
        }
    }
}

impl JoinMaterial {
    /// Whether an agent may hand it to kubeadm.
    ///
    /// # Errors
    /// The first secret that is not as kubeadm makes it.
    pub fn validate(&self) -> Result<(), Invalid> {
        let secret = |field, good, wanted| {
            if good { Ok(()) } else { Err(Invalid::Secret { field, wanted }) }
        };
        let token = is::bootstrap_token(self.token.expose());
        secret("the bootstrap token", token, "of the form [a-z0-9]{6}.[a-z0-9]{16}")?;
        let key = is::certificate_key(self.certificate_key.expose());
        secret("the certificate key", key, "of 64 hexadecimal digits")?;
        let ca = self.ca_pem.as_deref().unwrap_or("none");
        let good = is::lines(ca, is::CERTIFICATE);
        text("the certificate authority", ca, good, "a PEM text of at most 64 KiB")
    }
}

impl OperationId {
    /// Whether an agent may keep it in its ledger.
    ///
    /// # Errors
    /// If it is no id.
    pub fn validate(&self) -> Result<(), Invalid> {
        text("the operation", &self.0, is::id(&self.0), ID)
    }
}

impl Term {
    /// Whether an agent may keep it in its ledger.
    ///
    /// # Errors
    /// If its run has no id.
    pub fn validate(&self) -> Result<(), Invalid> {
        text("the run", &self.run.0, is::id(&self.run.0), ID)
    }
}

const ID: &str = "an id of 1 to 64 letters, digits, '-', '.' and '_'";

fn modules(KernelModules { modules }: &KernelModules) -> Valid {
    few("the list of modules", modules.len())?;
    modules.iter().try_for_each(|module| {
        text("the kernel module", module, is::module(module), "a module's name")
    })
}

fn sysctls(Sysctls { values }: &Sysctls) -> Valid {
    few("the list of kernel parameters", values.len())?;
    values.iter().try_for_each(|(key, value)| {
        text("the kernel parameter", key, is::sysctl(key), "one that quorate sets")?;
        let wanted = "a number, up to four of them, or a plain word";
        text("the value of a kernel parameter", value, is::sysctl_value(value), wanted)
    })
}

fn package_source(goal: &PackageSource) -> Valid {
    let PackageSource { name, url: address, suite, components, key } = goal;
    let wanted = "a name of letters, digits, '-' and '_'";
    text("the repository's name", name, is::source_name(name), wanted)?;
    url("the repository", address)?;
    few("the list of components", components.len())?;
    components.iter().chain([suite]).try_for_each(|word| {
        text("the suite or component", word, is::word(word), "one word that begins with no dash")
    })?;
    let public = is::lines(key, is::KEY) && !key.contains("PRIVATE KEY");
    let shown = if key.contains("PRIVATE KEY") { "(a private key)" } else { key };
    text("the repository's key", shown, public, "an armored public key of at most 1 MiB")
}

fn packages(Packages { packages }: &Packages) -> Valid {
    few("the list of packages", packages.len())?;
    packages.iter().try_for_each(|package| {
        let name = &package.name;
        text("the package", name, is::package(name), "a name of 2 to 128 of a-z, 0-9, '+.-'")?;
        let version = package.version.as_deref().unwrap_or("0");
        let wanted = "a digit and up to 63 letters, digits and '.+:~_-'";
        text("the package's version", version, is::package_version(version), wanted)
    })
}

fn images(Images { release, names, archives }: &Images) -> Valid {
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

fn manifest(Manifest { name, yaml, sha256 }: &Manifest) -> Valid {
    text("the manifest's name", name, is::label(name), "a DNS label")?;
    let good = is::lines(yaml, is::MANIFEST);
    text("the manifest", yaml, good, "a text of at most 3 MiB without control characters")?;
    if Sha256::of(yaml.as_bytes()) == *sha256 { Ok(()) } else { Err(Invalid::Digest(name.clone())) }
}

fn member(goal: &MemberRemoval) -> Valid {
    let MemberRemoval { on, node: _, id: _, peer_url, alive: _ } = goal;
    node(on)?;
    url("the peer address", peer_url)
}

fn node(KubeNode { node: _, address: _, entry: _, cluster }: &KubeNode) -> Valid {
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
    } = cluster;
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
    arguments(extra_args)?;
    few("the list of preflight checks", ignore_preflight_errors.len())?;
    ignore_preflight_errors.iter().try_for_each(|check| {
        text("the preflight check", check, is::preflight_check(check), "a check of kubeadm's")
    })?;
    image_repository.iter().try_for_each(|name| image(name))
}

fn arguments(extra_args: &ExtraArgs) -> Valid {
    let ExtraArgs { api_server, controller_manager, scheduler, etcd, kubelet } = extra_args;
    for arguments in [api_server, controller_manager, scheduler, etcd, kubelet] {
        few("the list of arguments", arguments.len())?;
        for (name, value) in arguments {
            text("the argument", name, is::argument(name), "a name without dashes before it")?;
            text("the value of an argument", value, is::line(value), LINE)?;
        }
    }
    Ok(())
}

/// serde_json reads nothing that is nested deeper than 128.
fn configuration(fields: &Map<String, Value>) -> Valid {
    few("the list of fields", fields.len())?;
    fields.iter().try_for_each(|(name, value)| {
        text("the field", name, is::line(name), LINE)?;
        value_of_field(value)
    })
}

fn value_of_field(value: &Value) -> Valid {
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

fn image(name: &str) -> Valid {
    text("the image", name, is::image(name), "a name of letters, digits and './:@_-'")
}

fn url(field: &'static str, address: &str) -> Valid {
    // Not shown: a URL that cannot be read may hold a password.
    let shown = if address.contains('@') { "(not shown)" } else { address };
    text(field, shown, is::url(address), "a URL of http, https or file without a password")
}

#[cfg(test)]
mod tests;
