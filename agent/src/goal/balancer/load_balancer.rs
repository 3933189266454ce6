//! The load balancer spreads the endpoint over the API servers. Its configuration is tried before it
//! replaces the old one, and a reload that never came, or that was refused, is seen by the check.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::LoadBalancer;
use quorate_proto::{ActivityKind, Drift, Finding};

use super::{BALANCER, Config};
use crate::goal::host::service_running::ServiceState;
use crate::goal::{Ensure, Work, own_file};
use crate::host::{Command, Host, HostError};

/// HAProxy's new worker answers some 50 ms after the reload was asked for; ten seconds mean that it
/// failed.
const TAKEN_UP_WITHIN_MS: u64 = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[async_trait]
impl Ensure for LoadBalancer {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        let wanted = BALANCER.config(self);
        let servers = self.backends.len();
        let summary = format!("port {} over {servers} API servers", self.port);
        drifts.extend(own_file::drift(host, BALANCER.path(), &wanted.text, summary).await?);
        let service = ServiceState::of(host, BALANCER.unit()).await?;
        drifts.extend(service.drifts(BALANCER.unit()));
        if drifts.is_empty() && !BALANCER.runs(host, &wanted).await? {
            let what = format!("service {}", BALANCER.unit());
            drifts.push(Drift::new(what, "runs by an older configuration", "reloaded"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, format!("configuring {}", BALANCER.unit()));
        let service = ServiceState::of(host, BALANCER.unit()).await?;
        if !service.installed() {
            let unit = BALANCER.unit();
            return Err(HostError::Refused(format!(
                "{unit} is not installed: add its package to spec.packages"
            )));
        }
        let wanted = BALANCER.config(self);
        if host.text(BALANCER.path()).await?.as_deref() != Some(&wanted.text) {
            BALANCER.try_out(host, &wanted).await?;
            host.write(BALANCER.path(), wanted.text.as_bytes(), 0o644).await?;
        }
        let reload = service.active() && !BALANCER.runs(host, &wanted).await?;
        service.enable_and_start(host, BALANCER.unit()).await?;
        if reload {
            let unit = format!("{}.service", BALANCER.unit());
            host.output_of(&Command::new("systemctl", &["reload", "--", &unit])).await?;
        }
        taken_up(host, &wanted).await
    }
}

/// Waits for a reload, which `systemctl` does not.
async fn taken_up(host: &dyn Host, config: &Config) -> Result<(), HostError> {
    let deadline = host.uptime_ms() + TAKEN_UP_WITHIN_MS;
    while !BALANCER.runs(host, config).await? {
        if host.uptime_ms() > deadline {
            let (unit, path) = (BALANCER.unit(), BALANCER.path());
            return Err(HostError::Refused(format!(
                "{unit} has not taken up {path}: `journalctl -u {unit}` tells why, often that another \
                 program holds the port"
            )));
        }
        host.pause(LOOK_EVERY).await;
    }
    Ok(())
}
