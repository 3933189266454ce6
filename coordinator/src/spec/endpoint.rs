//! Checks of the endpoint, of what answers there, and of the ports that meet on one machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use quorate_proto::goal::{Endpoint, HealthCheck};

use super::cluster::{NodeSpec, Role};
use super::file;
use super::report::Report;
use super::version::is_dns_name;

const HOST: &str = "spec.endpoint.host";
const PORT: &str = "spec.endpoint.port";
const API_PORT: &str = "spec.apiPort";
const LOAD_BALANCER: &str = "spec.loadBalancer";

/// What the components of a control plane listen on (etcd, kubelet, controller manager, scheduler).
const CONTROL_PLANE_PORTS: [u16; 6] = [2379, 2380, 2381, 10250, 10257, 10259];

/// How clients reach the API servers.
pub(super) struct Serving {
    pub(super) endpoint: Endpoint,
    pub(super) api_port: u16,
    pub(super) load_balancer: Option<HealthCheck>,
}

/// Reads the endpoint and the load balancer, and holds them against the nodes.
pub(super) fn serving(
    file: &file::Spec,
    nodes: &[(NodeSpec, String)],
    report: &mut Report,
) -> Option<Serving> {
    let entries = file.nodes.as_deref()?;
    let host = file.endpoint.as_ref()?.host.clone()?;
    let port = report.or(PORT, file.endpoint.as_ref()?.port, 6443);
    let api_port = report.or(API_PORT, file.api_port, 6443);
    let load_balancer = load_balancer(file.load_balancer.as_ref(), entries, report);
    let endpoint = Endpoint { host, port };
    let address = endpoint.host.parse::<IpAddr>().ok();
    if address.is_none() && !is_host_name(&endpoint.host) {
        let message = format!("{:?} is neither an address nor a DNS name", endpoint.host);
        report.error(HOST, message, "write the address alone, the port goes into endpoint.port");
    }
    let serving = Serving { endpoint, api_port, load_balancer };
    let there = nodes
        .iter()
        .map(|(node, _)| node)
        .find(|node| Some(node.address) == address || node.name.as_str() == serving.endpoint.host);
    // Entries that could not be read would seem to be missing.
    let read: BTreeSet<_> = nodes.iter().map(|(_, path)| path).collect();
    if read.len() == entries.len() && entries.iter().all(|entry| entry.roles.is_some()) {
        balanced(&serving, there, nodes, report);
        if load_balancer.is_none() {
            unbalanced(&serving, there, nodes, report);
        }
    }
    ports(&serving, nodes, report);
    Some(serving)
}

/// The endpoint's address, where it is one.
pub(super) fn address(file: &file::Spec) -> Option<IpAddr> {
    file.endpoint.as_ref()?.host.as_ref()?.parse().ok()
}

/// `10.0.0.300` would be a DNS name, were it not for its last label (RFC 3696).
fn is_host_name(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    is_dns_name(host) && !last.chars().all(|c| c.is_ascii_digit())
}

fn load_balancer(
    file: Option<&file::LoadBalancer>,
    nodes: &[file::Node],
    report: &mut Report,
) -> Option<HealthCheck> {
    use file::{LoadBalancer, LoadBalancerName, LoadBalancerSettings};
    let check = match file {
        Some(LoadBalancer::Named(LoadBalancerName::None)) => return None,
        Some(LoadBalancer::Named(LoadBalancerName::Haproxy)) => None,
        Some(LoadBalancer::Set(LoadBalancerSettings::Haproxy(haproxy))) => haproxy.health_check,
        None => {
            let asked = nodes.iter().any(|node| node.has(file::Role::LoadBalancer));
            let name = if asked { "haproxy" } else { "none" };
            report.defaults.push((LOAD_BALANCER.to_owned(), name.to_owned()));
            if !asked {
                return None;
            }
            None
        }
    };
    Some(match check {
        Some(file::HealthCheck::Tcp) => HealthCheck::Tcp,
        Some(file::HealthCheck::Readyz) => HealthCheck::Readyz,
        None => {
            let path = format!("{LOAD_BALANCER}.haproxy.healthCheck");
            report.defaults.push((path, "readyz".to_owned()));
            HealthCheck::Readyz
        }
    })
}

/// The role load-balancer and the load balancer belong together, and the endpoint leads to one.
fn balanced(
    serving: &Serving,
    there: Option<&NodeSpec>,
    nodes: &[(NodeSpec, String)],
    report: &mut Report,
) {
    let balances = |node: &&NodeSpec| node.roles.contains(&Role::LoadBalancer);
    let balancers: Vec<_> = nodes.iter().map(|(node, _)| node).filter(balances).collect();
    match (serving.load_balancer, &balancers[..]) {
        (None, []) => {}
        (None, [first, ..]) => {
            let message = format!("{} has the role load-balancer, and there is none", first.name);
            report.error(LOAD_BALANCER, message, "write loadBalancer: haproxy, or drop the role");
        }
        (Some(_), []) => {
            let hint = "give a node roles: [load-balancer], or write loadBalancer: none";
            report.error(LOAD_BALANCER, "no node has the role load-balancer", hint);
        }
        (Some(_), [first, rest @ ..]) => {
            let host = &serving.endpoint.host;
            let hint = format!(
                "use a DNS name or an address that moves between load balancers, or {}",
                first.address
            );
            match there {
                Some(node) if !balances(&node) => {
                    let message = format!("the endpoint {host} is {}, no load balancer", node.name);
                    report.error(HOST, message, hint);
                }
                Some(node) if !rest.is_empty() => {
                    let message = format!(
                        "the endpoint is {} alone: without it no client reaches \
                        the cluster, other load balancers or not",
                        node.name
                    );
                    report.warn(HOST, message, hint);
                }
                None if host.parse::<IpAddr>().is_ok() => {
                    let message = format!("no node has the endpoint's address {host}");
                    let hint = format!("{hint}; quorate does not move addresses, keepalived does");
                    report.warn(HOST, message, hint);
                }
                Some(_) | None => {}
            }
        }
    }
}

/// Without a load balancer of ours, an endpoint that is a node is that node's API server.
fn unbalanced(
    serving: &Serving,
    there: Option<&NodeSpec>,
    nodes: &[(NodeSpec, String)],
    report: &mut Report,
) {
    let Some(node) = there.filter(|node| !node.roles.contains(&Role::LoadBalancer)) else { return };
    let name = &node.name;
    let port = serving.endpoint.port;
    if !node.roles.contains(&Role::ControlPlane) {
        let message = format!("the endpoint is {name}, where no API server runs");
        let hint = "give a node roles: [load-balancer], or the address of a load balancer of yours";
        report.error(HOST, message, hint);
    } else if port != serving.api_port {
        let message = format!("the endpoint is {name}, whose API server is not at port {port}");
        report.error(PORT, message, format!("write port: {}", serving.api_port));
    } else if nodes.iter().filter(|(n, _)| n.roles.contains(&Role::ControlPlane)).count() > 1 {
        let message = format!(
            "the endpoint is {name}: without it no client reaches the cluster, \
            and the endpoint cannot change later"
        );
        let hint = "give a node roles: [load-balancer] and use its address, or a DNS name";
        report.warn(HOST, message, hint);
    }
}

/// No two programs may listen on one port of one machine.
fn ports(serving: &Serving, nodes: &[(NodeSpec, String)], report: &mut Report) {
    let port = serving.endpoint.port;
    if CONTROL_PLANE_PORTS.contains(&serving.api_port) {
        let message = format!("port {} is taken on every control plane", serving.api_port);
        report.error(API_PORT, message, "use 6443");
    }
    let mut shared: Vec<&str> = Vec::new();
    for (node, path) in nodes {
        let agent_path = format!("{path}.agentPort");
        let controls = node.roles.contains(&Role::ControlPlane);
        let balances = node.roles.contains(&Role::LoadBalancer) && serving.load_balancer.is_some();
        if controls && node.agent_port == serving.api_port {
            let message = format!("{}'s agent and API server share a port", node.name);
            report.error(&agent_path, message, "use another agentPort, such as 7443");
        }
        if balances && node.agent_port == port {
            let message = format!("{}'s agent and load balancer share a port", node.name);
            report.error(&agent_path, message, "use another agentPort, such as 7443");
        }
        if controls && balances {
            shared.push(node.name.as_str());
        }
    }
    if shared.is_empty() {
        return;
    }
    let names = shared.join(", ");
    if port == serving.api_port {
        let message =
            format!("{names}: load balancer and API server would both listen on port {port}");
        let hint = "use another endpoint.port, such as 8443, or other nodes for the load balancer";
        report.error(PORT, message, hint);
    } else if CONTROL_PLANE_PORTS.contains(&port) {
        let message = format!("port {port} is taken on control planes: {names}");
        report.error(PORT, message, "use another endpoint.port, such as 8443");
    }
}
