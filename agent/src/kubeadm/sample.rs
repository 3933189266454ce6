//! A small cluster for the tests of kubeadm's goals.

use quorate_proto::goal::{Cluster, Endpoint, Entry, ExtraArgs, KubeNode, Peer};
use quorate_proto::{JoinMaterial, NodeName, Secret};
use serde_json::json;

/// The name and the address of the sample's control planes.
pub(crate) const CONTROL_PLANES: [(&str, &str); 3] =
    [("cp-1", "10.77.0.11"), ("cp-2", "10.77.0.12"), ("cp-3", "10.77.0.13")];

/// cp-1 for the founder, cp-2 for a further control plane, worker-1 for a worker.
pub(crate) fn node(entry: Entry) -> KubeNode {
    let (node, address) = match entry {
        Entry::Founder => ("cp-1", "10.77.0.11"),
        Entry::ControlPlane => ("cp-2", "10.77.0.12"),
        Entry::Worker => ("worker-1", "10.77.0.21"),
    };
    KubeNode {
        node: name(node),
        address: address.parse().expect("an address"),
        entry,
        cluster: cluster(),
    }
}

pub(crate) fn name(name: &str) -> NodeName {
    name.try_into().expect("a name")
}

pub(crate) fn cluster() -> Cluster {
    let peers = CONTROL_PLANES.iter().map(|(node, address)| Peer {
        node: name(node),
        address: address.parse().expect("an address"),
    });
    let kubelet = json!({"failCgroupV1": false});
    let kube_proxy = json!({"mode": "nftables", "conntrack": {"maxPerCore": 0}});
    Cluster {
        name: "lab".to_owned(),
        version: "v1.35.4".parse().expect("a version"),
        endpoint: Endpoint { host: "10.77.0.10".to_owned(), port: 6443 },
        api_port: 6443,
        pod_subnet: "10.244.0.0/16".parse().expect("a subnet"),
        service_subnet: "10.96.0.0/12".parse().expect("a subnet"),
        dns_domain: "cluster.local".to_owned(),
        ca: None,
        control_planes: peers.collect(),
        cert_sans: vec!["k8s.example.org".to_owned()],
        kubelet: kubelet.as_object().cloned().unwrap_or_default(),
        kube_proxy: kube_proxy.as_object().cloned().unwrap_or_default(),
        extra_args: ExtraArgs {
            api_server: [("profiling".to_owned(), "false".to_owned())].into(),
            ..ExtraArgs::default()
        },
        ignore_preflight_errors: vec!["SystemVerification".to_owned()],
        image_repository: None,
    }
}

pub(crate) fn material() -> JoinMaterial {
    JoinMaterial {
        token: Secret::new("abcdef.0123456789abcdef".to_owned()),
        certificate_key: Secret::new("0f".repeat(32)),
        ca_pem: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
    }
}
