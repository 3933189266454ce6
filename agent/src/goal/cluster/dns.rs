//! The cluster's DNS answers, at its service address.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};

use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};
use crate::kubeadm::{ADMIN_CONF, config};

/// CoreDNS answers within seconds of being ready.
const PATIENCE: Duration = Duration::from_secs(120);

const WHAT: &str = "the cluster's DNS";

pub(super) struct ClusterDns<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for ClusterDns<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let cluster = &self.0.cluster;
        // Not to wait for an answer that cannot come.
        if host.read(ADMIN_CONF).await?.is_none() {
            let found = format!("{} is in no cluster yet", self.0.node);
            return Ok(Finding::Drifted(vec![Drift::new(WHAT, found, "an answer")]));
        }
        let name = format!("kubernetes.default.svc.{}", cluster.dns_domain);
        let ip = config::service_ip(cluster, 10);
        let found = match host.resolve(&name, SocketAddr::new(ip, 53)).await {
            Ok(0) => format!("{ip} knows no address of {name}"),
            Ok(_) => return Ok(Finding::Satisfied),
            Err(HostError::Silent { service, .. }) => format!("{service} does not answer"),
            Err(other) => return Err(other),
        };
        Ok(Finding::Drifted(vec![Drift::new(WHAT, found, "an answer")]))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "the cluster's DNS answers", PATIENCE).await
    }
}
