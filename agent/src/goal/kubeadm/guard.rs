//! Whether this node may be touched at all: it may hold another cluster's data.
//!
//! The plan has looked before; the agent looks again, right before it writes.

use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{JoinMaterial, Sha256};

use crate::facts;
use crate::host::{Host, HostError};
use crate::kubeadm::kubeconfig::Kubeconfig;
use crate::kubeadm::{ADMIN_CONF, CA, ETCD_DATA, KUBELET_CONF, pki};

const REMEDY: &str = "make sure that nothing there is needed, run `kubeadm reset` on the node and \
                      empty /etc/kubernetes, /var/lib/etcd and /var/lib/kubelet, then run `quorate \
                      apply` again";

/// Refuses where the node holds data of another cluster than the goal's, or of an unknown one.
pub(super) async fn refuse_stranger(
    host: &dyn Host,
    node: &KubeNode,
    material: Option<&JoinMaterial>,
) -> Result<(), HostError> {
    let told = material.and_then(|material| material.ca_pem.as_deref());
    let told = told.and_then(|pem| pki::authority(pem).ok()).map(|authority| authority.spki);
    let ca = node.cluster.ca.clone().or(told);
    stranger(host, node, ca.as_ref()).await?.map_or(Ok(()), |why| Err(HostError::Refused(why)))
}

/// Why the node must not be touched; `None` if it may be. `ca` is the cluster's authority, where it
/// is known.
pub(super) async fn stranger(
    host: &dyn Host,
    node: &KubeNode,
    ca: Option<&Sha256>,
) -> Result<Option<String>, HostError> {
    let why = match host.read(CA).await? {
        Some(pem) => with_authority(host, node, ca, &pem).await?,
        None => without_authority(host, node, ca).await?,
    };
    Ok(why.map(|why| format!("{} {why}: {REMEDY}", node.node)))
}

/// Whether the node holds nothing of any cluster yet.
pub(super) async fn is_pristine(host: &dyn Host) -> Result<bool, HostError> {
    let files = [CA, KUBELET_CONF, ADMIN_CONF];
    for file in files {
        if host.read(file).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(host.list(ETCD_DATA).await?.is_empty() && facts::static_pods(host).await?.is_empty())
}

async fn with_authority(
    host: &dyn Host,
    node: &KubeNode,
    ca: Option<&Sha256>,
    pem: &[u8],
) -> Result<Option<String>, HostError> {
    let Ok(held) = pki::authority(&String::from_utf8_lossy(pem)) else {
        return Ok(Some(format!("holds a {CA} that is no certificate")));
    };
    if let Some(ca) = ca.filter(|ca| **ca != held.spki) {
        return Ok(Some(format!(
            "holds another cluster's data (its {CA} has the key {}, this cluster's has {ca})",
            held.spki
        )));
    }
    let Some(admin) = host.read(ADMIN_CONF).await? else { return Ok(None) };
    let wanted = format!("https://{}", node.cluster.endpoint);
    let server = Kubeconfig::parse(&admin).map(|config| config.server).ok();
    let other = server.filter(|server| *server != wanted);
    Ok(other.map(|server| {
        format!("belongs to a cluster whose endpoint is {server}, and this one's is {wanted}")
    }))
}

async fn without_authority(
    host: &dyn Host,
    node: &KubeNode,
    ca: Option<&Sha256>,
) -> Result<Option<String>, HostError> {
    if !host.list(ETCD_DATA).await?.is_empty() {
        return Ok(Some(format!(
            "holds etcd's data in {ETCD_DATA} and no {CA} that it belongs to"
        )));
    }
    if host.read(KUBELET_CONF).await?.is_some() {
        return Ok(Some(format!("holds {KUBELET_CONF} and no {CA} that it belongs to")));
    }
    if node.entry == Entry::Founder && ca.is_some() {
        return Ok(Some(
            "was to found a cluster that exists already, and holds nothing of it".to_owned(),
        ));
    }
    Ok(None)
}
