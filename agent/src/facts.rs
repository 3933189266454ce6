//! Facts about what a node holds of Kubernetes. What the machine is, the host tells itself.

use quorate_proto::{EtcdFacts, KubernetesFacts, KubernetesVersion};

use crate::host::{Command, Host, HostError};
use crate::kubeadm::{CA, ETCD_DATA, KUBELET_CONF, MANIFESTS, PKI, SUPER_ADMIN_CONF, pki};

/// Which parts of a cluster the node's disk holds.
pub async fn kubernetes(host: &dyn Host) -> Result<KubernetesFacts, HostError> {
    let ca = host.read(CA).await?.map(|pem| String::from_utf8_lossy(&pem).into_owned());
    Ok(KubernetesFacts {
        ca: ca.and_then(|pem| pki::authority(&pem).ok()),
        ca_key: host.read(&format!("{PKI}/ca.key")).await?.is_some(),
        super_admin: host.read(SUPER_ADMIN_CONF).await?.is_some(),
        kubelet_conf: host.read(KUBELET_CONF).await?.is_some(),
        static_pods: static_pods(host).await?,
        etcd_data: !host.list(ETCD_DATA).await?.is_empty(),
        kubelet_version: kubelet_version(host).await?,
    })
}

/// What this node's own etcd member answers; `None` where there is none, or it is silent.
pub async fn etcd(host: &dyn Host) -> Option<EtcdFacts> {
    let has_member = static_pods(host).await.is_ok_and(|pods| pods.iter().any(|pod| pod == "etcd"));
    if has_member { host.etcd(&[]).await.ok() } else { None }
}

/// By their files' names. The kubelet's package keeps the folder with a hidden file, which is no pod.
pub(crate) async fn static_pods(host: &dyn Host) -> Result<Vec<String>, HostError> {
    let files = host.list(MANIFESTS).await?;
    let pods = files.iter().filter_map(|file| file.strip_suffix(".yaml"));
    Ok(pods.map(str::to_owned).collect())
}

/// dpkg knows it without a process being started; elsewhere the kubelet itself is asked.
async fn kubelet_version(host: &dyn Host) -> Result<Option<KubernetesVersion>, HostError> {
    if let Some(status) = host.read("/var/lib/dpkg/status").await? {
        return Ok(installed(&String::from_utf8_lossy(&status)));
    }
    let output = host.run(&Command::new("kubelet", &["--version"])).await;
    let text = output.map(|output| output.stdout).unwrap_or_default();
    Ok(text.trim().strip_prefix("Kubernetes ").and_then(|version| version.parse().ok()))
}

/// The kubelet's version in dpkg's list of packages: `1.35.4-1.1` is v1.35.4.
fn installed(status: &str) -> Option<KubernetesVersion> {
    let kubelet = status.split("\n\n").find(|package| {
        let mut lines = package.lines();
        lines.any(|line| line == "Package: kubelet")
            && package
                .lines()
                .any(|line| line.starts_with("Status: ") && line.ends_with(" installed"))
    })?;
    let version = kubelet.lines().find_map(|line| line.strip_prefix("Version: "))?;
    version.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_version_is_in_dpkgs_list() {
        let package = |name: &str, status: &str| {
            format!("Package: {name}\nStatus: hold ok {status}\nVersion: 1.35.4-1.1\n\n")
        };
        let list = package("kubeadm", "installed") + &package("kubelet", "installed");
        assert_eq!(installed(&list), "v1.35.4".parse().ok());
        let list = package("kubeadm", "installed") + &package("kubelet", "config-files");
        assert_eq!(installed(&list), None, "removed, its configuration kept");
    }
}
