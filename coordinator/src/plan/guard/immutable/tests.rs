//! Which edits of cluster.yaml are refused on a running cluster, and what is said of them.

use quorate_proto::{KubernetesFacts, Machine, Term};

use super::*;
use crate::plan::{ClockOffset, Sight};
use crate::spec::parse;

const SPEC: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.34.4}
  endpoint: {host: 10.0.0.10}
  network: {plugin: none}
  nodes:
  - {name: lb-1, address: 10.0.0.10, roles: [load-balancer]}
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
  - {name: worker-1, address: 10.0.0.21, roles: [worker]}
";

fn spec(text: &str) -> ClusterSpec {
    parse(text, "cluster.yaml", std::path::Path::new("/nowhere")).unwrap().spec
}

/// A control plane and a worker that run by [`SPEC`].
fn running() -> Observed {
    let owned = |text: &str| Some(text.to_owned());
    let control_plane = InForce {
        name: owned("lab"),
        version: "v1.34.4".parse().ok(),
        endpoint: owned("10.0.0.10:6443"),
        api_port: owned("6443"),
        pod_subnet: owned("10.244.0.0/16"),
        service_subnet: owned("10.96.0.0/12"),
        dns_domain: owned("cluster.local"),
        node_ip: owned("10.0.0.11"),
        kubelet_node: owned("cp-1"),
    };
    let worker = InForce {
        endpoint: owned("10.0.0.10:6443"),
        dns_domain: owned("cluster.local"),
        node_ip: owned("10.0.0.21"),
        kubelet_node: owned("worker-1"),
        ..InForce::default()
    };
    let joined = |in_force| KubernetesFacts {
        ca: Some(quorate_proto::CaFacts {
            pem: String::new(),
            spki: quorate_proto::Sha256::of(b"ca"),
        }),
        kubelet_conf: true,
        in_force,
        ..KubernetesFacts::default()
    };
    let planes = KubernetesFacts { ca_key: true, etcd_data: true, ..joined(control_plane) };
    let nodes = [("cp-1", planes), ("worker-1", joined(worker))];
    let sight = |(node, kubernetes): (&str, KubernetesFacts)| {
        let node = NodeName::try_from(node).unwrap();
        let facts = Facts {
            node: node.clone(),
            agent_version: String::new(),
            machine: Machine::default(),
            term: Term::default(),
            under_way: None,
            kubernetes,
            etcd: None,
            audit: None,
            nodes: None,
        };
        (node, Sight::Seen { facts: Box::new(facts), clock: ClockOffset::default() })
    };
    Observed { nodes: nodes.map(sight).into() }
}

fn facts_of<'a>(observed: &'a mut Observed, node: &str) -> &'a mut KubernetesFacts {
    match observed.nodes.get_mut(&NodeName::try_from(node).unwrap()) {
        Some(Sight::Seen { facts, .. }) => &mut facts.kubernetes,
        _ => panic!("{node} was not seen"),
    }
}

fn edits(text: &str) -> Vec<Edit> {
    match check(&spec(text), &running()) {
        Ok(()) => Vec::new(),
        Err(Blocked::Edited(edits)) => edits,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn unchanged_specification_passes() {
    assert_eq!(edits(SPEC), []);
}

#[test]
fn changed_fields_are_blocked_with_both_values() {
    let network =
        |field: &str| SPEC.replace("{plugin: none}", &format!("{{plugin: none, {field}}}"));
    let cases = [
        (SPEC.replace("v1.34.4", "v1.35.4"), "spec.kubernetes.version", "v1.34.4", "v1.35.4"),
        (SPEC.replace("v1.34.4", "v1.34.2"), "spec.kubernetes.version", "v1.34.4", "v1.34.2"),
        (SPEC.replace("name: lab", "name: other"), "metadata.name", "lab", "other"),
        (
            SPEC.replace("{host: 10.0.0.10}", "{host: 10.0.0.10, port: 7000}"),
            "spec.endpoint",
            "10.0.0.10:6443",
            "10.0.0.10:7000",
        ),
        (SPEC.replace("spec:\n", "spec:\n  apiPort: 7000\n"), "spec.apiPort", "6443", "7000"),
        (
            network("podSubnet: 10.1.0.0/16"),
            "spec.network.podSubnet",
            "10.244.0.0/16",
            "10.1.0.0/16",
        ),
        (
            network("serviceSubnet: 10.97.0.0/16"),
            "spec.network.serviceSubnet",
            "10.96.0.0/12",
            "10.97.0.0/16",
        ),
        (
            network("dnsDomain: other.local"),
            "spec.network.dnsDomain",
            "cluster.local",
            "other.local",
        ),
        (SPEC.replace("10.0.0.21", "10.0.0.22"), "spec.nodes[].address", "10.0.0.21", "10.0.0.22"),
    ];
    for (text, field, in_force, specified) in cases {
        let found = edits(&text);
        let [edit] = found.as_slice() else { panic!("{field}: {found:?}") };
        assert_eq!((edit.field, &*edit.in_force, &*edit.specified), (field, in_force, specified));
    }
}

#[test]
fn nodes_with_one_value_share_an_edit() {
    let found = edits(&SPEC.replace("{host: 10.0.0.10}", "{host: 10.0.0.99}"));
    let nodes: Vec<_> = found.iter().map(|edit| edit.nodes.len()).collect();
    assert_eq!(nodes, [2]);
}

#[test]
fn advice_for_an_edit_never_asks_for_a_reset() {
    for edit in edits(&SPEC.replace("{host: 10.0.0.10}", "{host: 10.0.0.99}")) {
        let text = edit.to_string();
        assert!(
            text.contains("Set it back to 10.0.0.10:6443") && !text.contains("reset"),
            "{text}"
        );
    }
}

#[test]
fn role_of_a_joined_node_is_not_changed() {
    let promoted = SPEC.replace("roles: [worker]", "roles: [control-plane]");
    assert_eq!(edits(&promoted)[0].field, "spec.nodes[].roles");
    let demoted = SPEC.replace(
        "name: worker-1, address: 10.0.0.21, roles: [worker]",
        "name: cp-2, address: 10.0.0.12, roles: [control-plane]",
    );
    let demoted = demoted.replace(
        "address: 10.0.0.11, roles: [control-plane]",
        "address: 10.0.0.11, roles: [worker]",
    );
    assert_eq!(edits(&demoted)[0].field, "spec.nodes[].roles");
}

#[test]
fn renamed_node_with_its_old_identity_is_blocked() {
    let mut observed = running();
    facts_of(&mut observed, "worker-1").in_force.kubelet_node = Some("worker-9".to_owned());
    let blocked = check(&spec(SPEC), &observed).unwrap_err();
    assert!(matches!(blocked, Blocked::JoinedAsAnother { other, .. } if other == "worker-9"));
}
