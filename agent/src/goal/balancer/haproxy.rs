//! HAProxy. The whole of haproxy.cfg is quorate's. It is tried by `haproxy -c`, and taken up by a
//! reload, which drops no connection.
//!
//! The configuration describes itself by its digest, and the running HAProxy tells that description at
//! its socket.

use std::net::SocketAddr;

use async_trait::async_trait;
use quorate_proto::Sha256;
use quorate_proto::goal::{Backend, HealthCheck, LoadBalancer};

use super::{Balancer, Config, Server};
use crate::host::{Command, Host, HostError};

const SOCKET: &str = "/run/haproxy/admin.sock";
const BACKEND: &str = "kubernetes-backend";
const CANDIDATE: &str = "/run/quorate/haproxy.cfg";

pub(super) struct HaProxy;

#[async_trait]
impl Balancer for HaProxy {
    fn unit(&self) -> &'static str {
        "haproxy"
    }

    fn path(&self) -> &'static str {
        "/etc/haproxy/haproxy.cfg"
    }

    fn config(&self, goal: &LoadBalancer) -> Config {
        let body = body(goal);
        let description = format!("quorate {}", Sha256::of(body.as_bytes()));
        let text = format!(
            "# Written by quorate: changes to this file are overwritten.\n\
             global\n    description \"{description}\"\n{body}"
        );
        Config { text, description }
    }

    async fn try_out(&self, host: &dyn Host, config: &Config) -> Result<(), HostError> {
        host.write(CANDIDATE, config.text.as_bytes(), 0o600).await?;
        host.output_of(&Command::new("haproxy", &["-c", "-f", CANDIDATE])).await?;
        host.remove(CANDIDATE).await
    }

    async fn runs(&self, host: &dyn Host, config: &Config) -> Result<bool, HostError> {
        match host.ask_socket(SOCKET, "show info").await {
            Ok(info) => {
                let mut lines = info.lines().filter_map(|line| line.strip_prefix("description:"));
                Ok(lines.any(|found| found.trim() == config.description))
            }
            Err(HostError::Silent { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn servers(&self, host: &dyn Host) -> Result<Vec<Server>, HostError> {
        Ok(servers(&host.ask_socket(SOCKET, "show stat").await?))
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

/// The servers of our backend, from HAProxy's table.
fn servers(table: &str) -> Vec<Server> {
    let mut lines = table.lines();
    let heading = fields(lines.next().unwrap_or_default().trim_start_matches("# "));
    let column = |name: &str| heading.iter().position(|field| field == name);
    let (Some(proxy), Some(server), Some(status)) =
        (column("pxname"), column("svname"), column("status"))
    else {
        return Vec::new();
    };
    let row = |line: &str| -> Option<Server> {
        let row = fields(line);
        let ours = row.get(proxy).is_some_and(|name| name == BACKEND);
        let status = row.get(status).filter(|_| ours)?.clone();
        // `UP 2/3` is up and has just failed a check.
        let up = status == "UP" || status.starts_with("UP ");
        Some(Server { name: row.get(server)?.clone(), status, up })
    };
    lines.filter_map(row).collect()
}

/// The fields of a line of CSV; those with a comma in them are quoted, and quotes in these doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(std::mem::take(&mut field)),
            (other, _) => field.push(other),
        }
    }
    fields.push(field);
    fields
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
        let text = HaProxy.config(&goal(HealthCheck::Readyz, &["10.0.0.1"])).text;
        assert!(text.contains("    option httpchk GET /readyz\n"), "{text}");
        assert!(text.contains("    server cp-1 10.0.0.1:6443 check check-ssl verify none\n"));
        let text = HaProxy.config(&goal(HealthCheck::Tcp, &["10.0.0.1"])).text;
        assert!(text.contains("    option tcp-check\n"), "{text}");
        assert!(text.ends_with("    server cp-1 10.0.0.1:6443 check\n"), "{text}");
    }

    #[test]
    fn addresses_of_version_6_are_bound_and_bracketed() {
        let text = HaProxy.config(&goal(HealthCheck::Tcp, &["fd00::1"])).text;
        assert!(text.contains("    bind [::]:6443 v4v6\n"), "{text}");
        assert!(text.contains("    server cp-1 [fd00::1]:6443 check\n"), "{text}");
    }

    #[test]
    fn a_configuration_describes_itself_by_what_it_says() {
        let one = HaProxy.config(&goal(HealthCheck::Readyz, &["10.0.0.1"]));
        let other = HaProxy.config(&goal(HealthCheck::Tcp, &["10.0.0.1"]));
        assert_ne!(one.description, other.description);
        assert!(one.text.contains(&format!("    description \"{}\"\n", one.description)));
    }

    const TABLE: &str = "# pxname,svname,qcur,check_desc,status,\n\
        kubernetes-frontend,FRONTEND,,,OPEN,\n\
        other,cp-1,0,,DOWN,\n\
        kubernetes-backend,cp-1,0,\"Layer7, wrong \"\"status\"\"\",UP,\n\
        kubernetes-backend,cp-2,0,,DOWN 1/2,\n\
        kubernetes-backend,cp-3,0,,UP 2/3,\n\
        kubernetes-backend,BACKEND,0,,UP,\n\n";

    #[test]
    fn server_that_failed_one_check_is_up() {
        let found = servers(TABLE);
        let told: Vec<(&str, bool)> =
            found.iter().map(|server| (server.status.as_str(), server.up)).collect();
        let wanted = [("UP", true), ("DOWN 1/2", false), ("UP 2/3", true), ("UP", true)];
        assert_eq!(told, wanted, "the last is the sum of the backend");
        assert_eq!(servers("nonsense").len(), 0);
    }

    #[test]
    fn quoted_fields_keep_commas_and_quotes() {
        assert_eq!(fields("a,\"b,\"\"c\"\"\",,d"), ["a", "b,\"c\"", "", "d"]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields("\"open,end"), ["open,end"]);
    }
}
