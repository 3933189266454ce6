//! Checks of the nodes: their ranges, names, addresses and roles, and how many control planes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use quorate_proto::goal::NODES;
use quorate_proto::{AGENT_PORT, NodeName};

use super::cluster::{NodeSpec, Role};
use super::report::Report;
use super::{file, ranges};

/// etcd's own advice: each write waits for a majority of the members.
const MOST_CONTROL_PLANES: usize = 7;

/// The nodes with the path of the entry that each came from, ranges expanded. What is wrong is
/// reported and left out.
pub(super) fn nodes(file: &[file::Node], report: &mut Report) -> Vec<(NodeSpec, String)> {
    let mut nodes = Vec::new();
    if file.is_empty() {
        let hint = "list every machine: {name: cp-1, address: 10.0.0.11, roles: [control-plane]}";
        report.error("spec.nodes", "there are no nodes", hint);
        return nodes;
    }
    let port = |entry: &file::Node| entry.agent_port.unwrap_or(AGENT_PORT);
    if file.iter().all(|entry| entry.agent_port.is_none()) {
        report.defaults.push(("spec.nodes[*].agentPort".to_owned(), AGENT_PORT.to_string()));
    }
    for (index, entry) in file.iter().enumerate() {
        let path = format!("spec.nodes[{index}]");
        let roles = roles(entry, &path, report);
        for (name, address) in expand(entry, &path, report).unwrap_or_default() {
            let node = NodeSpec { name, address, agent_port: port(entry), roles: roles.clone() };
            nodes.push((node, path.clone()));
        }
    }
    if nodes.len() > NODES {
        let message = format!("{} nodes are more than {NODES}", nodes.len());
        let hint =
            "Kubernetes is not tested with more nodes in one cluster: build several clusters";
        report.error("spec.nodes", message, hint);
    }
    unique(&nodes, report);
    control_planes(file, report);
    nodes
}

fn expand(entry: &file::Node, path: &str, report: &mut Report) -> Option<Vec<(NodeName, IpAddr)>> {
    let (name_path, address_path) = (format!("{path}.name"), format!("{path}.address"));
    let range = "write one name, or a range such as worker-[1-50] or worker-[01-50]";
    let names = report.parsed(&name_path, ranges::names(entry.name.as_ref()?), range)?;
    let parse = |name: &String| NodeName::try_from(name.as_str());
    let names = names.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let rule = "kubeadm takes lower-case host names; set the machine's host name to the same";
    let names = report.parsed(&name_path, names, rule);
    let count = names.as_ref().map_or(1, Vec::len);
    let hint = if count == 1 {
        "write the IPv4 address at which other nodes reach this one, such as 10.0.0.11".to_owned()
    } else {
        format!("write a range of {count} addresses, or the first, from which quorate counts up")
    };
    let written = ranges::addresses(entry.address.as_ref()?, count);
    // With names that cannot be read, there is nothing to compare the number of addresses to.
    let compared = names.is_some() || !matches!(written, Err(ranges::RangeError::Lengths { .. }));
    let addresses = if compared { report.parsed(&address_path, written, &hint) } else { None };
    if let Some(strange) = addresses.iter().flatten().find(|ip| !is_host(**ip)) {
        let message = format!("{strange} is no address of a machine");
        report.error(&address_path, message, hint);
    }
    Some(names?.into_iter().zip(addresses?).collect())
}

fn is_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(ip) if ip.is_broadcast());
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || broadcast)
}

fn roles(entry: &file::Node, path: &str, report: &mut Report) -> BTreeSet<Role> {
    let path = format!("{path}.roles");
    let roles: BTreeSet<_> = entry
        .roles
        .iter()
        .flatten()
        .map(|role| match role {
            file::Role::LoadBalancer => Role::LoadBalancer,
            file::Role::ControlPlane => Role::ControlPlane,
            file::Role::Worker => Role::Worker,
        })
        .collect();
    if roles.contains(&Role::Worker) && roles.len() > 1 {
        let message = "a node is a worker and something else";
        let hint = "a worker is nothing else; to let pods run on a control plane, remove its taint \
                    once the cluster is up: kubectl taint node NAME \
                    node-role.kubernetes.io/control-plane-";
        report.error(&path, message, hint);
    }
    roles
}

fn unique(nodes: &[(NodeSpec, String)], report: &mut Report) {
    let mut names = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (node, path) in nodes {
        if let Some(first) = names.insert(&node.name, path) {
            let message = format!("two nodes are called {}", node.name);
            let hint = format!("{first} has the name already: give each node a name of its own");
            report.error(&format!("{path}.name"), message, hint);
        }
        if let Some(other) = addresses.insert(node.address, &node.name) {
            let message = format!("{} has the address {} of {other}", node.name, node.address);
            report.error(&format!("{path}.address"), message, "give each node its own address");
        }
    }
    let v6 = nodes.iter().any(|(node, _)| node.address.is_ipv6());
    if let Some((node, path)) = nodes.iter().find(|(node, _)| node.address.is_ipv4())
        && v6
    {
        let message = format!("{} has an IPv4 address, and other nodes have IPv6", node.name);
        let hint = "use one family for all nodes; dual-stack clusters are not built yet";
        report.error(&format!("{path}.address"), message, hint);
    }
}

/// Counts what the file asks for, so that an entry with another fault is no missing control plane.
fn control_planes(file: &[file::Node], report: &mut Report) {
    if file.iter().any(|entry| entry.roles.is_none()) {
        return;
    }
    let entries = file.iter().filter(|entry| entry.has(file::Role::ControlPlane));
    let names = entries.filter_map(|entry| entry.name.as_ref());
    let count: usize = names.map(|name| ranges::names(name).map_or(1, |all| all.len())).sum();
    let quorum = count / 2 + 1;
    if count == 0 {
        let hint = "give one node, better three, roles: [control-plane]";
        report.error("spec.nodes", "no node has the role control-plane", hint);
    } else if count > MOST_CONTROL_PLANES {
        let message = format!("{count} control planes are more than {MOST_CONTROL_PLANES}");
        let hint = format!(
            "every write waits for {quorum} of {count} etcd members; use 3 or 5 control planes"
        );
        report.error("spec.nodes", message, hint);
    } else if count.is_multiple_of(2) {
        let tolerated = count - quorum;
        let message = format!(
            "{count} control planes survive the loss of {tolerated}, no more than {} would, and each \
             write needs {quorum} of them instead of {}",
            count - 1,
            quorum - 1
        );
        let hint = format!("use {} or {} control planes", count - 1, count + 1);
        report.warn("spec.nodes", message, hint);
    }
}
