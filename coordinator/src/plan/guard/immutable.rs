//! Compares cluster.yaml with what the nodes of a running cluster run by, as far as a difference
//! cannot be brought about by an apply: fields that are fixed, or that belong to a procedure.

use std::fmt;

use quorate_proto::{Facts, InForce, NodeName};

use crate::plan::machines::runs_api_server;
use crate::plan::{Blocked, Observed};
use crate::spec::class::{Class, Field, class_of};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// A field whose value in cluster.yaml is not the one that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Its path in cluster.yaml.
    pub field: &'static str,
    pub in_force: String,
    /// The nodes that run by that.
    pub nodes: Vec<NodeName>,
    pub specified: String,
    pub class: Class,
    /// What depends on the field.
    pub why: &'static str,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, in_force, nodes, specified, class, why } = self;
        let nodes = nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "{field} is {in_force} on {nodes}, and {specified} in cluster.yaml: ")?;
        match class {
            Class::Fixed => write!(
                f,
                "it is fixed once a cluster is initialised ({why}). Set it back to {in_force}, or build a \
                 new cluster with {specified}"
            ),
            Class::Procedure => write!(
                f,
                "`quorate apply` does not change it on a running cluster ({why}). Set it back to {in_force}"
            ),
            Class::Rolling | Class::Free => write!(f, "set it back to {in_force} ({why})"),
        }
    }
}

/// Refuses a specification that names other values than the running cluster has.
///
/// # Errors
/// Names every such field with both values.
pub(crate) fn check(spec: &ClusterSpec, observed: &Observed) -> Result<(), Blocked> {
    let mut edits: Vec<Edit> = Vec::new();
    for node in &spec.nodes {
        let Some(facts) = observed.facts(&node.name) else { continue };
        is_this_node(node, facts)?;
        for (field, in_force, specified) in differences(spec, node, facts) {
            let row = class_of(field);
            let same = edits.iter_mut().find(|it| it.field == field && it.in_force == in_force);
            match (same, row) {
                (Some(edit), _) => edit.nodes.push(node.name.clone()),
                (None, None) => {}
                (None, Some(Field { class, why, .. })) => edits.push(Edit {
                    field,
                    in_force,
                    nodes: vec![node.name.clone()],
                    specified,
                    class: *class,
                    why,
                }),
            }
        }
    }
    if edits.is_empty() { Ok(()) } else { Err(Blocked::Edited(edits)) }
}

/// A machine that joined under another name still has that name's identity: whatever runs there
/// goes on as the other node.
fn is_this_node(node: &NodeSpec, facts: &Facts) -> Result<(), Blocked> {
    let other = facts.kubernetes.in_force.kubelet_node.as_ref();
    match other.filter(|other| **other != node.name.as_str()) {
        Some(other) => {
            Err(Blocked::JoinedAsAnother { node: node.name.clone(), other: other.clone() })
        }
        None => Ok(()),
    }
}

/// Fields whose value on this node is not the specified one: path, value in force, value specified.
fn differences(
    spec: &ClusterSpec,
    node: &NodeSpec,
    facts: &Facts,
) -> Vec<(&'static str, String, String)> {
    let InForce { name, version, endpoint, api_port, pod_subnet, service_subnet, .. } =
        facts.kubernetes.in_force.clone();
    let InForce { dns_domain, node_ip, .. } = facts.kubernetes.in_force.clone();
    let network = &spec.network;
    let specified_ip = spec.kubeadm.extra_args.kubelet.get("node-ip").cloned();
    let values = [
        ("metadata.name", name, spec.name.clone()),
        ("spec.kubernetes.version", version.map(|it| it.to_string()), spec.version.to_string()),
        ("spec.endpoint", endpoint, spec.endpoint.to_string()),
        ("spec.apiPort", api_port, spec.api_port.to_string()),
        ("spec.network.podSubnet", pod_subnet, network.pod_subnet.to_string()),
        ("spec.network.serviceSubnet", service_subnet, network.service_subnet.to_string()),
        ("spec.network.dnsDomain", dns_domain, network.dns_domain.clone()),
        ("spec.nodes[].address", node_ip, specified_ip.unwrap_or_else(|| node.address.to_string())),
        ("spec.nodes[].roles", role(facts).map(str::to_owned), specified_role(node).to_owned()),
    ];
    let known =
        values.into_iter().filter_map(|(field, found, wanted)| Some((field, found?, wanted)));
    known.filter(|(_, found, wanted)| found != wanted).collect()
}

/// What the node is in the cluster, where its files leave no doubt.
fn role(facts: &Facts) -> Option<&'static str> {
    let held = &facts.kubernetes;
    if held.etcd_data || runs_api_server(facts) {
        return Some("control-plane");
    }
    // A control plane on its way has the authority's key before its kubelet has an identity.
    (held.kubelet_conf && held.ca.is_some() && !held.ca_key).then_some("worker")
}

fn specified_role(node: &NodeSpec) -> &'static str {
    if node.roles.contains(&Role::ControlPlane) {
        "control-plane"
    } else if node.roles.contains(&Role::Worker) {
        "worker"
    } else {
        "load-balancer"
    }
}

#[cfg(test)]
mod tests;
