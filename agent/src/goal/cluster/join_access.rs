//! What lets any bearer of a bootstrap token join: the public `cluster-info`, and the rights.

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};
use serde_json::Value;

use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{CA, kubeconfig::Kubeconfig, phase, pki};

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

/// The bindings that kubeadm's phase `bootstrap-token` makes.
const WANTED: [&str; 4] = [
    "kubeadm:get-nodes",
    "kubeadm:kubelet-bootstrap",
    "kubeadm:node-autoapprove-bootstrap",
    "kubeadm:node-autoapprove-certificate-rotation",
];

pub(super) struct JoinAccess<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for JoinAccess<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        match read::get(host, read::own(self.0), CLUSTER_INFO).await? {
            Reply::Found(map) => {
                let ca = host.read(CA).await?.unwrap_or_default();
                drifts.extend(info_drift(&map, &ca));
            }
            Reply::Absent => drifts.push(Drift::new("ConfigMap cluster-info", "missing", "there")),
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        }
        if let Reply::Found(list) = read::get(host, read::own(self.0), BINDINGS).await? {
            let names: Vec<&str> =
                read::items(&list).iter().map(|item| read::text(item, "/metadata/name")).collect();
            let missing = WANTED.iter().filter(|name| !names.contains(name));
            drifts.extend(
                missing.map(|name| {
                    Drift::new(format!("ClusterRoleBinding {name}"), "missing", "there")
                }),
            );
        } else {
            drifts.push(read::no_rights());
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        // Without a token of ours kubeadm would mint one that lives for a day.
        phase::material(work)?;
        phase::init(host, work, self.0, "bootstrap-token --skip-token-print").await
    }
}

/// A joining node that believed another authority could not join.
fn info_drift(map: &Value, ca: &[u8]) -> Option<Drift> {
    let config = read::text(map, "/data/kubeconfig");
    // cluster-info has no current context, so that only its one cluster is looked at.
    let config: Value = serde_saphyr::from_str(config).unwrap_or_default();
    let data = read::text(&config, "/clusters/0/cluster/certificate-authority-data");
    let told = Kubeconfig::authority(data).and_then(|pem| pki::authority(&pem).ok());
    let own = pki::authority(&String::from_utf8_lossy(ca)).ok();
    let same = told.is_some() && told.map(|told| told.spki) == own.map(|own| own.spki);
    let drift =
        || Drift::new("the authority in ConfigMap cluster-info", "another", "this cluster's");
    (!same).then(drift)
}
