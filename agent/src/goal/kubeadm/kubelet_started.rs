//! The kubelet runs, now and after a boot, with kubeadm's configuration, and has an identity or the means to ask for one.

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{Drift, Finding};

use super::guard;
use crate::goal::service_running::ServiceState;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{BOOTSTRAP_CONF, KUBELET_CONF, KUBELET_PEM, phase};

const KUBELET: &str = "kubelet";
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";

pub(in crate::goal) struct KubeletStarted<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for KubeletStarted<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        if let Some(why) = guard::stranger(host, self.0, self.0.cluster.ca.as_ref()).await? {
            return Ok(Finding::Refused { why });
        }
        let mut drifts = Vec::new();
        if host.read(CONFIG).await?.is_none() {
            drifts.push(Drift::new(CONFIG, "missing", "there"));
        }
        let flags = host.read(FLAGS).await?.unwrap_or_default();
        let node_ip = format!("--node-ip={}", self.node_ip());
        if !String::from_utf8_lossy(&flags).contains(&node_ip) {
            drifts.push(Drift::new(FLAGS, format!("without {node_ip}"), format!("with {node_ip}")));
        }
        let identity = host.read(KUBELET_CONF).await?.is_some();
        if !identity && host.read(BOOTSTRAP_CONF).await?.is_none() {
            drifts.push(Drift::new("the kubelet's identity", "none", "one, or a token to ask by"));
        }
        drifts.extend(ServiceState::of(host, KUBELET).await?.drifts(KUBELET));
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = self.0;
        guard::refuse_stranger(host, node, work.material).await?;
        if node.entry == Entry::Worker && guard::is_pristine(host).await? {
            phase::join(host, work, node, "preflight").await?;
        }
        // Its package leaves that to the administrator, and kubeadm only warns: without it a control
        // plane that reboots stays down.
        ServiceState::of(host, KUBELET).await?.enable(host, KUBELET).await?;
        if self.check(host).await?.is_satisfied() {
            return Ok(());
        }
        start(host, work, node).await
    }
}

impl KubeletStarted<'_> {
    fn node_ip(&self) -> String {
        let extra = self.0.cluster.extra_args.kubelet.get("node-ip");
        extra.cloned().unwrap_or_else(|| self.0.address.to_string())
    }
}

/// Writes the kubelet's configuration and restarts it.
///
/// A node that has its certificate is configured as the first one is: the join would ask the cluster
/// for another, and is refused where the node is Ready. That kubelet.conf is there says nothing: a
/// kubelet writes it before it has what the file names.
pub(super) async fn start(
    host: &dyn Host,
    work: &Work<'_>,
    node: &KubeNode,
) -> Result<(), HostError> {
    if node.entry == Entry::Founder || host.read(KUBELET_PEM).await?.is_some() {
        phase::init(host, work, node, "kubelet-start").await
    } else {
        phase::join(host, work, node, "kubelet-start").await
    }
}
