//! A control plane's certificates: all there, signed by this cluster's authorities, for the right
//! names, and not expired.

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{Drift, Finding};

use super::guard;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{PKI, config, phase, pki};

/// What all control planes share: without extension, the authorities of the leaves.
const AUTHORITIES: [&str; 3] = ["ca", "front-proxy-ca", "etcd/ca"];

/// A certificate that each control plane has of its own.
struct Leaf {
    name: &'static str,
    authority: &'static str,
    serves: Serves,
}

/// For which names a leaf stands.
enum Serves {
    Nobody,
    Api,
    Etcd,
}

const LEAVES: [Leaf; 7] = [
    Leaf { name: "apiserver", authority: "ca", serves: Serves::Api },
    Leaf { name: "apiserver-kubelet-client", authority: "ca", serves: Serves::Nobody },
    Leaf { name: "front-proxy-client", authority: "front-proxy-ca", serves: Serves::Nobody },
    Leaf { name: "etcd/server", authority: "etcd/ca", serves: Serves::Etcd },
    Leaf { name: "etcd/peer", authority: "etcd/ca", serves: Serves::Etcd },
    Leaf { name: "etcd/healthcheck-client", authority: "etcd/ca", serves: Serves::Nobody },
    Leaf { name: "apiserver-etcd-client", authority: "etcd/ca", serves: Serves::Nobody },
];

pub(super) struct Certificates<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for Certificates<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        if let Some(why) = guard::stranger(host, self.0, self.0.cluster.ca.as_ref()).await? {
            return Ok(Finding::Refused { why });
        }
        let mut drifts = self.shared_drifts(host).await?;
        for (leaf, flaw) in self.flawed(host).await? {
            drifts.push(Drift::new(format!("{PKI}/{}.crt", leaf.name), flaw, "valid"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = self.0;
        guard::refuse_stranger(host, node, work.material).await?;
        let joins = node.entry != Entry::Founder;
        if guard::is_pristine(host).await? {
            let preflight = "preflight";
            if joins {
                phase::join(host, work, node, preflight).await?;
            } else {
                phase::init(host, work, node, preflight).await?;
            }
        }
        if joins && !self.shared_drifts(host).await?.is_empty() {
            phase::join(host, work, node, "control-plane-prepare download-certs").await?;
        }
        self.remove_flawed(host).await?;
        // With the shared certificates there, a further control plane makes its own as the first
        // does; `join` would read the names of the certificate from kubeadm-config, which may be older.
        phase::init(host, work, node, "certs all").await
    }
}

impl Certificates<'_> {
    /// What all control planes must have in common, as far as it is missing.
    async fn shared_drifts(&self, host: &dyn Host) -> Result<Vec<Drift>, HostError> {
        let mut drifts = Vec::new();
        let files =
            AUTHORITIES.iter().flat_map(|name| [format!("{name}.crt"), format!("{name}.key")]);
        for file in files.chain(["sa.key".to_owned(), "sa.pub".to_owned()]) {
            let path = format!("{PKI}/{file}");
            let content = host.read(&path).await?.unwrap_or_default();
            if !is_pem(&content) {
                drifts.push(Drift::new(path, "missing", "there"));
            }
        }
        Ok(drifts)
    }

    /// Every leaf that is not as it must be, and why.
    async fn flawed(&self, host: &dyn Host) -> Result<Vec<(&'static Leaf, String)>, HostError> {
        let now_s = host.machine().await?.clock_ms / 1000;
        let mut flawed = Vec::new();
        for leaf in &LEAVES {
            let certificate = host.read(&format!("{PKI}/{}.crt", leaf.name)).await?;
            let key = host.read(&format!("{PKI}/{}.key", leaf.name)).await?;
            let authority = host.read(&format!("{PKI}/{}.crt", leaf.authority)).await?;
            let (Some(certificate), Some(true)) = (certificate, key.as_deref().map(is_pem)) else {
                flawed.push((leaf, "missing".to_owned()));
                continue;
            };
            let wanted = pki::Wanted {
                sans: self.sans(&leaf.serves).into_iter().collect(),
                common_name: None,
                now_s: i64::try_from(now_s).unwrap_or(i64::MAX),
            };
            let flaw = pki::flaw(&certificate, &authority.unwrap_or_default(), &wanted);
            flawed.extend(flaw.map(|flaw| (leaf, flaw)));
        }
        Ok(flawed)
    }

    /// kubeadm keeps a certificate that exists, or stops at it: a flawed one has to go first.
    async fn remove_flawed(&self, host: &dyn Host) -> Result<(), HostError> {
        for (leaf, _) in self.flawed(host).await? {
            host.remove(&format!("{PKI}/{}.crt", leaf.name)).await?;
            host.remove(&format!("{PKI}/{}.key", leaf.name)).await?;
        }
        Ok(())
    }

    /// The names that a leaf must stand for. Other control planes' names are in the certificate too,
    /// yet are not asked for: one that is added later changes nothing on this node.
    fn sans(&self, serves: &Serves) -> Vec<String> {
        let KubeNode { node, address, cluster, .. } = self.0;
        let own = [node.to_string(), address.to_string(), "127.0.0.1".to_owned()];
        match serves {
            Serves::Nobody => Vec::new(),
            Serves::Etcd => own.into_iter().chain(["localhost".to_owned()]).collect(),
            Serves::Api => {
                let service = config::service_ip(cluster, 1).to_string();
                let domain = format!("kubernetes.default.svc.{}", cluster.dns_domain);
                let names = [cluster.endpoint.host.clone(), domain, service];
                own.into_iter().chain(names).chain(cluster.cert_sans.iter().cloned()).collect()
            }
        }
    }
}

fn is_pem(content: &[u8]) -> bool {
    content.starts_with(b"-----BEGIN ")
}
