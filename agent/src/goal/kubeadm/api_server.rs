//! This control plane's own API server is ready, at its own address.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};

use crate::goal::{Ensure, Work, wait};
use crate::host::{ApiMethod, ApiRequest, ApiServer, Host, HostError};

/// An API server takes ten seconds, on a slow machine a minute; the kubelet may have to pull first.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct ApiServerReady<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for ApiServerReady<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let address = SocketAddr::new(self.0.address, self.0.cluster.api_port).to_string();
        readiness(host, ApiServer::At(address), "the API server").await
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let what = format!("the API server of {} is ready", self.0.node);
        wait::until(self, host, work, &what, PATIENCE).await
    }
}

/// Whether `/readyz` says ok there. Silence is drift here: that it answers is the very goal.
pub(in crate::goal) async fn readiness(
    host: &dyn Host,
    at: ApiServer,
    what: &str,
) -> Result<Finding, HostError> {
    let request = ApiRequest { method: ApiMethod::Get, path: "/readyz".to_owned(), at };
    let found = match host.api(&request).await {
        Ok(answer) if answer.status == 200 => return Ok(Finding::Satisfied),
        Ok(answer) => format!("answers with status {}", answer.status),
        Err(HostError::Silent { service, source }) => format!("{service} is silent: {source}"),
        Err(other) => return Err(other),
    };
    Ok(Finding::Drifted(vec![Drift::new(what, found, "ready")]))
}
