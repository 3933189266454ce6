//! HAProxy spreads the endpoint over the API servers. The whole of haproxy.cfg is quorate's. It is
//! tried by `haproxy -c` before it replaces the old one, and taken up by a reload, which drops no
//! connection.
//!
//! The configuration describes itself by its digest, and the running HAProxy tells that description at
//! its socket. So a reload that never came, or that HAProxy refused, is seen by the check.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Backend, HealthCheck, LoadBalancer};
use quorate_proto::{ActivityKind, Drift, Finding, Sha256};

use crate::goal::host::service_running::ServiceState;
use crate::goal::{Ensure, Work, own_file};
use crate::host::{Command, Host, HostError};

pub(super) const SOCKET: &str = "/run/haproxy/admin.sock";
pub(super) const BACKEND: &str = "kubernetes-backend";
const CONFIG: &str = "/etc/haproxy/haproxy.cfg";
const CANDIDATE: &str = "/run/quorate/haproxy.cfg";
const UNIT: &str = "haproxy";

/// A new worker answers some 50 ms after the reload was asked for; ten seconds mean that it failed.
const TAKEN_UP_WITHIN_MS: u64 = 10_000;
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[async_trait]
impl Ensure for LoadBalancer {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        let wanted = Config::of(self);
        let servers = self.backends.len();
        let summary = format!("port {} over {servers} API servers", self.port);
        drifts.extend(own_file::drift(host, CONFIG, &wanted.text, summary).await?);
        let service = ServiceState::of(host, UNIT).await?;
        drifts.extend(service.drifts(UNIT));
        if drifts.is_empty() && !wanted.runs(host).await? {
            let what = "service haproxy";
            drifts.push(Drift::new(what, "runs by an older configuration", "reloaded"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "configuring HAProxy");
        let service = ServiceState::of(host, UNIT).await?;
        if !service.installed() {
            return Err(HostError::Refused(
                "haproxy is not installed: add its package to spec.packages".to_owned(),
            ));
        }
        let wanted = Config::of(self);
        if host.text(CONFIG).await?.as_deref() != Some(&wanted.text) {
            wanted.try_out(host).await?;
            host.write(CONFIG, wanted.text.as_bytes(), 0o644).await?;
        }
        let reload = service.active() && !wanted.runs(host).await?;
        service.enable_and_start(host, UNIT).await?;
        if reload {
            host.output_of(&Command::new("systemctl", &["reload", "--", "haproxy.service"]))
                .await?;
        }
        wanted.taken_up(host).await
    }
}

/// The configuration of a load balancer, for tests of what runs by it.
#[cfg(test)]
pub(in crate::goal) fn text(goal: &LoadBalancer) -> String {
    Config::of(goal).text
}

/// A whole haproxy.cfg, and the description by which it can be told from others.
struct Config {
    text: String,
    description: String,
}

impl Config {
    fn of(goal: &LoadBalancer) -> Self {
        let body = body(goal);
        let description = format!("quorate {}", Sha256::of(body.as_bytes()));
        let text = format!(
            "# Written by quorate: changes to this file are overwritten.\n\
             global\n    description \"{description}\"\n{body}"
        );
        Self { text, description }
    }

    /// Lets HAProxy read the file before it takes the place of one that works.
    async fn try_out(&self, host: &dyn Host) -> Result<(), HostError> {
        host.write(CANDIDATE, self.text.as_bytes(), 0o600).await?;
        host.output_of(&Command::new("haproxy", &["-c", "-f", CANDIDATE])).await?;
        host.remove(CANDIDATE).await
    }

    /// Whether the HAProxy that runs has this configuration. One that does not answer has not.
    async fn runs(&self, host: &dyn Host) -> Result<bool, HostError> {
        match host.ask_socket(SOCKET, "show info").await {
            Ok(info) => {
                let mut lines = info.lines().filter_map(|line| line.strip_prefix("description:"));
                Ok(lines.any(|found| found.trim() == self.description))
            }
            Err(HostError::Silent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for a reload, which `systemctl` does not.
    async fn taken_up(&self, host: &dyn Host) -> Result<(), HostError> {
        let deadline = host.uptime_ms() + TAKEN_UP_WITHIN_MS;
        while !self.runs(host).await? {
            if host.uptime_ms() > deadline {
                return Err(HostError::Refused(format!(
                    "HAProxy has not taken up {CONFIG}: `journalctl -u haproxy` tells why, often \
                     that another program holds the port"
                )));
            }
            host.pause(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// All but the description. Idle connections may live for ten minutes, and those of `kubectl exec`
/// and of watches for hours.
fn body(goal: &LoadBalancer) -> String {
    let any_v6 = goal.backends.iter().any(|backend| backend.address.is_ipv6());
    let bind = if any_v6 { format!("[::]:{} v4v6", goal.port) } else { format!("*:{}", goal.port) };
    let (check, check_option) = match goal.health_check {
        HealthCheck::Readyz => (
            "option httpchk GET /readyz\n    http-check expect status 200",
            " check-ssl verify none", // only the check: clients' TLS ends at the API server
        ),
        HealthCheck::Tcp => ("option tcp-check", ""),
    };
    let server = |backend: &Backend| {
        let address = SocketAddr::new(backend.address, backend.port);
        format!("    server {} {address} check{check_option}\n", backend.node)
    };
    let servers: String = goal.backends.iter().map(server).collect();
    format!(
        "    log stdout format raw local0
    user haproxy
    group haproxy
    stats socket {SOCKET} mode 660 level admin

defaults
    mode tcp
    log global
    option tcplog
    option dontlognull
    option redispatch
    retries 2
    timeout connect 3s
    timeout client 10m
    timeout server 10m
    timeout tunnel 4h
    timeout check 2s

frontend kubernetes-frontend
    bind {bind}
    mode tcp
    option tcplog
    default_backend {BACKEND}

backend {BACKEND}
    mode tcp
    {check}
    balance roundrobin
    default-server inter 1s fastinter 250ms fall 3 rise 2 on-marked-down shutdown-sessions
{servers}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(health_check: HealthCheck, addresses: &[&str]) -> LoadBalancer {
        let backend = |(index, address): (usize, &&str)| Backend {
            node: format!("cp-{}", index + 1).try_into().unwrap(),
            address: address.parse().unwrap(),
            port: 6443,
        };
        let backends = addresses.iter().enumerate().map(backend).collect();
        LoadBalancer { port: 6443, health_check, backends }
    }

    #[test]
    fn the_check_is_readyz_over_tls_or_by_choice_the_port_alone() {
        let text = Config::of(&goal(HealthCheck::Readyz, &["10.0.0.1"])).text;
        assert!(text.contains("    option httpchk GET /readyz\n"), "{text}");
        assert!(text.contains("    server cp-1 10.0.0.1:6443 check check-ssl verify none\n"));
        let text = Config::of(&goal(HealthCheck::Tcp, &["10.0.0.1"])).text;
        assert!(text.contains("    option tcp-check\n"), "{text}");
        assert!(text.ends_with("    server cp-1 10.0.0.1:6443 check\n"), "{text}");
    }

    #[test]
    fn addresses_of_version_6_are_bound_and_bracketed() {
        let text = Config::of(&goal(HealthCheck::Tcp, &["fd00::1"])).text;
        assert!(text.contains("    bind [::]:6443 v4v6\n"), "{text}");
        assert!(text.contains("    server cp-1 [fd00::1]:6443 check\n"), "{text}");
    }

    #[test]
    fn a_configuration_describes_itself_by_what_it_says() {
        let one = Config::of(&goal(HealthCheck::Readyz, &["10.0.0.1"]));
        let other = Config::of(&goal(HealthCheck::Tcp, &["10.0.0.1"]));
        assert_ne!(one.description, other.description);
        assert!(one.text.contains(&format!("    description \"{}\"\n", one.description)));
    }
}
