//! Facts about what a node holds of Kubernetes. What the machine is, the host tells itself.

use std::time::Duration;

use quorate_proto::{EtcdFacts, InForce, KubernetesFacts, KubernetesVersion, NodeFacts};
use serde_json::Value;

use crate::host::{ApiMethod, ApiRequest, ApiServer, Command, Host, HostError};
use crate::kubeadm::kubeconfig::Kubeconfig;
use crate::kubeadm::{
    ADMIN_CONF, CA, ETCD_DATA, KUBELET_CONF, KUBELET_CONFIG, KUBELET_FLAGS, KUBELET_PEM, MANIFESTS,
    PKI, SUPER_ADMIN_CONF, kubelet_flags, manifest, pki,
};

/// An API server that takes longer is silent for a look that must be quick.
const NODES_WITHIN: Duration = Duration::from_secs(2);

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
        in_force: in_force(host).await?,
    })
}

/// The settings that the node's files name: no service is asked, so they are known while none answers.
async fn in_force(host: &dyn Host) -> Result<InForce, HostError> {
    let api_server = manifest::read(host, "kube-apiserver").await?.unwrap_or_default();
    let manager = manifest::read(host, "kube-controller-manager").await?.unwrap_or_default();
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let kubelet = manifest::yaml(&host.read(KUBELET_CONFIG).await?.unwrap_or_default());
    let flags = host.read(KUBELET_FLAGS).await?.unwrap_or_default();
    let pem = host.read(KUBELET_PEM).await?.unwrap_or_default();
    Ok(InForce {
        name: owned(manager.arg("cluster-name")),
        version: api_server.tag().parse().ok(),
        endpoint: endpoint(host).await?,
        api_port: owned(api_server.arg("secure-port")),
        pod_subnet: owned(manager.arg("cluster-cidr")),
        service_subnet: owned(api_server.arg("service-cluster-ip-range")),
        dns_domain: owned(kubelet.get("clusterDomain").and_then(Value::as_str)),
        node_ip: kubelet_flags(&flags).remove("node-ip"),
        kubelet_node: pki::common_name(&pem)
            .and_then(|name| Some(name.strip_prefix("system:node:")?.to_owned())),
    })
}

/// A control plane's kubelet.conf names the API server beside it, so admin.conf comes first.
async fn endpoint(host: &dyn Host) -> Result<Option<String>, HostError> {
    for path in [ADMIN_CONF, KUBELET_CONF] {
        if let Some(content) = host.read(path).await? {
            let server = Kubeconfig::parse(&content).map(|config| config.server).ok();
            return Ok(server.and_then(|url| Some(url.strip_prefix("https://")?.to_owned())));
        }
    }
    Ok(None)
}

/// What this node's own etcd member answers; `None` where there is none, or it is silent.
pub async fn etcd(host: &dyn Host) -> Option<EtcdFacts> {
    let has_member = static_pods(host).await.is_ok_and(|pods| pods.iter().any(|pod| pod == "etcd"));
    if has_member { host.etcd(&[]).await.ok() } else { None }
}

/// The cluster's nodes, by the word of the API server on this node.
pub async fn nodes(host: &dyn Host) -> Option<Vec<NodeFacts>> {
    let pods = static_pods(host).await.ok()?;
    if !pods.iter().any(|pod| pod == "kube-apiserver") {
        return None;
    }
    let path = "/api/v1/nodes".to_owned();
    let request = ApiRequest { method: ApiMethod::Table, path, at: ApiServer::Own };
    let answer = tokio::select! {
        answer = host.api(&request) => answer.ok()?,
        () = host.pause(NODES_WITHIN) => return None,
    };
    (answer.status == 200).then(|| rows(&answer.body))?
}

/// Reads the table of nodes, whose columns are those of `kubectl get nodes -o wide`.
pub(crate) fn rows(table: &Value) -> Option<Vec<NodeFacts>> {
    let columns = table.get("columnDefinitions").and_then(Value::as_array)?;
    let column = |name: &str| columns.iter().position(|column| column["name"] == name);
    let (name, status) = (column("Name")?, column("Status")?);
    let (version, address) = (column("Version")?, column("Internal-IP")?);
    let rows = table.get("rows").and_then(Value::as_array)?.iter().map(|row| {
        let cell = |at: usize| row.pointer(&format!("/cells/{at}")).and_then(Value::as_str);
        Some(NodeFacts {
            name: cell(name)?.to_owned(),
            ready: cell(status)?.split(',').any(|word| word == "Ready"),
            kubelet_version: cell(version).and_then(|version| version.parse().ok()),
            address: cell(address).and_then(|address| address.parse().ok()),
        })
    });
    rows.collect()
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
    fn nodes_are_read_from_the_table_of_kubectl() {
        let column = |name: &str| serde_json::json!({"name": name});
        let columns: Vec<Value> =
            ["Name", "Status", "Roles", "Age", "Version", "Internal-IP"].map(column).to_vec();
        let row = |cells: [&str; 6]| serde_json::json!({"cells": cells});
        let rows_of = |status: &str| {
            let cells = ["cp-1", status, "control-plane", "3d", "v1.35.4", "10.0.0.11"];
            rows(&serde_json::json!({"columnDefinitions": columns, "rows": [row(cells)]})).unwrap()
        };
        let ready = |status: &str| rows_of(status)[0].ready;
        assert!(ready("Ready") && ready("Ready,SchedulingDisabled"));
        assert!(!ready("NotReady") && !ready("NotReady,SchedulingDisabled"));
        let node = rows_of("Ready").remove(0);
        assert_eq!(node.kubelet_version, "v1.35.4".parse().ok());
        assert_eq!(node.address, "10.0.0.11".parse().ok());
        assert_eq!(rows(&serde_json::json!({"kind": "NodeList", "items": []})), None);
    }

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
