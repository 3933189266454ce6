//! What a node holds of a cluster, read from its disk and from its own etcd member.

use quorate_proto::{CaFacts, EtcdFacts, KubernetesFacts, KubernetesVersion, Sha256};
use x509_parser::pem::parse_x509_pem;

use crate::host::{Command, Host, HostError};

const KUBERNETES: &str = "/etc/kubernetes";

/// Which parts of a cluster the disk holds.
pub async fn kubernetes(host: &dyn Host) -> Result<KubernetesFacts, HostError> {
    let configs = host.list(KUBERNETES).await?;
    let pki = host.list("/etc/kubernetes/pki").await?;
    let has = |names: &[String], name: &str| names.iter().any(|found| found == name);
    let mut static_pods = host.list("/etc/kubernetes/manifests").await?;
    static_pods.retain_mut(|name| match name.strip_suffix(".yaml") {
        Some(pod) => {
            *name = pod.to_owned();
            true
        }
        None => false,
    });
    Ok(KubernetesFacts {
        ca: ca(host).await?,
        ca_key: has(&pki, "ca.key"),
        super_admin: has(&configs, "super-admin.conf"),
        kubelet_conf: has(&configs, "kubelet.conf"),
        static_pods,
        etcd_data: has(&host.list("/var/lib/etcd").await?, "member"),
        kubelet_version: kubelet_version(host).await,
    })
}

/// What this node's own member answers; `None` where there is none, or where it is silent.
pub async fn etcd(host: &dyn Host) -> Option<EtcdFacts> {
    host.read("/etc/kubernetes/manifests/etcd.yaml").await.ok()??;
    host.etcd(&[]).await.ok()
}

/// A damaged file counts as none: the checks of its goals say what is wrong with it.
async fn ca(host: &dyn Host) -> Result<Option<CaFacts>, HostError> {
    let Some(bytes) = host.read("/etc/kubernetes/pki/ca.crt").await? else {
        return Ok(None);
    };
    Ok(parse_ca(bytes))
}

fn parse_ca(bytes: Vec<u8>) -> Option<CaFacts> {
    let (_, pem) = parse_x509_pem(&bytes).ok()?;
    let spki = Sha256::of(pem.parse_x509().ok()?.public_key().raw);
    Some(CaFacts { pem: String::from_utf8(bytes).ok()?, spki })
}

async fn kubelet_version(host: &dyn Host) -> Option<KubernetesVersion> {
    let output = host.run_remembered(&Command::new("kubelet", &["--version"])).await.ok()?;
    output.stdout.trim().strip_prefix("Kubernetes ")?.parse().ok()
}
