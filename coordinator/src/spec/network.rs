//! Checks of the cluster's networks: sizes as kubeadm has them, and that none overlaps another.

use std::net::IpAddr;

use ipnet::IpNet;

use super::cluster::NodeSpec;
use super::file;
use super::report::Report;
use super::version::is_dns_name;

const POD: &str = "spec.network.podSubnet";
const SERVICE: &str = "spec.network.serviceSubnet";

/// The subnets and the domain, once they are networks that kubeadm takes.
pub(super) struct Subnets {
    pub(super) pod: IpNet,
    pub(super) service: IpNet,
    pub(super) dns_domain: String,
}

/// Reads the subnets and holds them against each other and against the nodes.
pub(super) fn subnets(
    file: &file::Network,
    extra_args: &file::ExtraArgs,
    nodes: &[(NodeSpec, String)],
    endpoint: Option<IpAddr>,
    report: &mut Report,
) -> Option<Subnets> {
    let pod = report.or(POD, file.pod_subnet.clone(), "10.244.0.0/16".to_owned());
    let service = report.or(SERVICE, file.service_subnet.clone(), "10.96.0.0/12".to_owned());
    let dns = file.dns_domain.clone();
    let dns_domain = report.or("spec.network.dnsDomain", dns, "cluster.local".to_owned());
    if !is_dns_name(&dns_domain) {
        let message = format!("{dns_domain:?} is no domain");
        report.error("spec.network.dnsDomain", message, "write a DNS name, such as cluster.local");
    }
    let (pod, service) = (network(POD, &pod, report), network(SERVICE, &service, report));
    if let Some(service) = service {
        service_size(service, report);
    }
    if let Some(pod) = pod {
        let mask = node_prefix(pod, extra_args);
        pod_size(pod, mask, nodes.len(), report);
    }
    for (path, net) in [(POD, pod), (SERVICE, service)] {
        if let Some(net) = net {
            apart(path, net, nodes, endpoint, report);
        }
    }
    let (pod, service) = (pod?, service?);
    if pod.contains(&service) || service.contains(&pod) {
        let message = format!("the pod subnet {pod} and the service subnet {service} overlap");
        report.error(POD, message, "choose two private networks that are used nowhere else");
    }
    Some(Subnets { pod, service, dns_domain })
}

fn network(path: &str, text: &str, report: &mut Report) -> Option<IpNet> {
    let Ok(net) = text.parse::<IpNet>() else {
        let message = format!("{text:?} is no network");
        report.error(path, message, "write it as an address and a prefix length: 10.244.0.0/16");
        return None;
    };
    if net != net.trunc() {
        let message = format!("{net} is an address inside the network {}", net.trunc());
        report.error(path, message, format!("write {}", net.trunc()));
        return None;
    }
    Some(net)
}

/// kubeadm's `ValidateServiceSubnetSize`: at most 20 bits; and its `MinimumAddressesInServiceSubnet`
/// of 10, since the cluster's DNS has the tenth address.
fn service_size(net: IpNet, report: &mut Report) {
    let bits = net.max_prefix_len() - net.prefix_len();
    let prefix = |bits| net.max_prefix_len() - bits;
    if bits > 20 {
        let hint = format!("use a prefix from /{} to /{}", prefix(20), prefix(4));
        report.error(SERVICE, format!("{net} is too large for services"), hint);
    } else if bits < 4 {
        let hint = format!("use a prefix from /{} to /{}", prefix(20), prefix(4));
        report.error(SERVICE, format!("{net} is too small for services"), hint);
    }
}

/// What each node takes of the pod subnet, unless the controller manager is told otherwise.
fn node_prefix(net: IpNet, arguments: &file::ExtraArgs) -> u8 {
    let given = arguments.controller_manager.get("node-cidr-mask-size");
    let default = if net.addr().is_ipv4() { 24 } else { 64 };
    given.and_then(|given| given.parse().ok()).unwrap_or(default)
}

/// kubeadm's `ValidatePodSubnetNodeMask`: at most 16 bits may number the nodes.
fn pod_size(net: IpNet, node_prefix: u8, nodes: usize, report: &mut Report) {
    let needed = nodes.next_power_of_two().trailing_zeros();
    let hint = || {
        let least = node_prefix.saturating_sub(16);
        let most = u32::from(node_prefix).saturating_sub(needed);
        format!("each node takes a /{node_prefix} of it: use a prefix from /{least} to /{most}")
    };
    let Some(bits) = node_prefix.checked_sub(net.prefix_len()) else {
        report.error(POD, format!("{net} is too small for the pods of one node"), hint());
        return;
    };
    if bits > 16 {
        report.error(POD, format!("{net} is too large for pods"), hint());
    } else if needed > u32::from(bits) {
        report.error(POD, format!("{net} is too small for the pods of {nodes} nodes"), hint());
    }
}

fn apart(
    path: &str,
    net: IpNet,
    nodes: &[(NodeSpec, String)],
    endpoint: Option<IpAddr>,
    report: &mut Report,
) {
    let what = if path == POD { "pod" } else { "service" };
    let inside = nodes.iter().find(|(node, _)| net.contains(&node.address));
    if let Some((node, node_path)) = inside {
        let (name, ip) = (&node.name, node.address);
        let message = format!("{name}'s address {ip} is inside the {what} subnet {net}");
        let hint = format!("choose a {path} that no machine is in, or another address");
        report.error(&format!("{node_path}.address"), message, hint);
    }
    let of_a_node = |ip: IpAddr| nodes.iter().any(|(node, _)| node.address == ip);
    if let Some(ip) = endpoint.filter(|ip| net.contains(ip) && !of_a_node(*ip)) {
        let message = format!("the endpoint {ip} is inside the {what} subnet {net}");
        report.error("spec.endpoint.host", message, format!("choose another {path}"));
    }
    let family = |ip: IpAddr| if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let other = nodes.iter().find(|(node, _)| node.address.is_ipv4() != net.addr().is_ipv4());
    if let Some((node, _)) = other {
        let (of_net, of_node) = (family(net.addr()), family(node.address));
        let message =
            format!("the {what} subnet {net} is {of_net}, and {} is {of_node}", node.name);
        report.error(path, message, format!("give an {of_node} network, or {of_net} addresses"));
    }
}
