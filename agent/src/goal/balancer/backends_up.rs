//! Every API server is up in the eyes of the load balancer. Others bring that about: to apply this goal
//! is to wait for it.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::LoadBalancer;
use quorate_proto::{Drift, Finding};

use super::{BALANCER, Server};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};

/// HAProxy takes a server for up 1.5 s after it serves, and all of them serve before anybody waits here.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct BackendsUp<'a>(pub &'a LoadBalancer);

#[async_trait]
impl Ensure for BackendsUp<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        Ok(Finding::from_drifts(drifts(self.0, &BALANCER.servers(host).await?)))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "the load balancer sees all API servers up", PATIENCE).await
    }
}

fn drifts(goal: &LoadBalancer, servers: &[Server]) -> Vec<Drift> {
    let mut drifts = Vec::new();
    for backend in &goal.backends {
        let server = servers.iter().find(|server| server.name == backend.node.as_str());
        let found = server.map_or("not a server of it", |server| server.status.as_str());
        if !server.is_some_and(|server| server.up) {
            drifts.push(Drift::new(format!("backend {}", backend.node), found, "UP"));
        }
    }
    drifts
}

#[cfg(test)]
mod tests {
    use quorate_proto::goal::{Backend, HealthCheck};

    use super::*;

    #[test]
    fn each_server_that_is_not_up_is_named() {
        let backend = |node: &str| Backend {
            node: node.try_into().unwrap(),
            address: "10.0.0.1".parse().unwrap(),
            port: 6443,
        };
        let backends = ["cp-1", "cp-2", "cp-4"].map(backend).into();
        let goal = LoadBalancer { port: 6443, health_check: HealthCheck::Readyz, backends };
        let server = |name: &str, status: &str| Server {
            name: name.to_owned(),
            status: status.to_owned(),
            up: status == "UP",
        };
        let drifts = drifts(&goal, &[server("cp-1", "UP"), server("cp-2", "DOWN 1/2")]);
        let told: Vec<(&str, &str)> =
            drifts.iter().map(|drift| (drift.what.as_str(), drift.found.as_str())).collect();
        assert_eq!(told, [("backend cp-2", "DOWN 1/2"), ("backend cp-4", "not a server of it")]);
    }
}
