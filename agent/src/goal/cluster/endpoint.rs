//! The API answers through the cluster's endpoint, and it is this cluster that answers.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::Finding;
use quorate_proto::goal::KubeNode;

use crate::goal::kubeadm::api_server::readiness;
use crate::goal::{Ensure, Work, wait};
use crate::host::{ApiServer, Host, HostError};

/// A load balancer that checks every second has seen three successes by then, ten times over.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct EndpointReady<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for EndpointReady<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let endpoint = self.0.cluster.endpoint.to_string();
        let what = format!("the endpoint {endpoint}");
        match readiness(host, ApiServer::Endpoint(endpoint), &what).await {
            // Found before the founding too: no cluster is made at another one's endpoint.
            Err(HostError::Refused(why)) => Ok(Finding::Refused { why }),
            finding => finding,
        }
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let endpoint = self.0.cluster.endpoint.to_string();
        let what = format!("the endpoint {endpoint} leads to an API server");
        wait::until(self, host, work, &what, PATIENCE).await
    }
}
