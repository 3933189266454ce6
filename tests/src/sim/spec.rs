//! A specification of any size, as `load` would make it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use quorate::spec::{
    ClusterSpec, ContainerdSettings, Kubeadm, Network, NodeSpec, PackageSettings, Plugin, Role,
};
use quorate_proto::goal::{Endpoint, HealthCheck, Manifest};
use quorate_proto::{AGENT_PORT, KubernetesVersion, NodeName, Sha256};

/// One load balancer, so many control planes and workers.
pub fn sample(planes: u8, workers: u8) -> ClusterSpec {
    let planes = (1..=planes).map(|at| node(&format!("cp-{at}"), 10 + at, Role::ControlPlane));
    let workers = (1..=workers).map(|at| node(&format!("worker-{at}"), 20 + at, Role::Worker));
    let yaml = "kind: DaemonSet\n".to_owned();
    let manifest =
        Manifest { name: "flannel".to_owned(), sha256: Sha256::of(yaml.as_bytes()), yaml };
    ClusterSpec {
        name: "lab".to_owned(),
        version: KubernetesVersion { major: 1, minor: 35, patch: 4 },
        endpoint: Endpoint { host: "10.77.0.10".to_owned(), port: 6443 },
        api_port: 6443,
        network: Network {
            pod_subnet: subnet([10, 244, 0, 0], 16),
            service_subnet: subnet([10, 96, 0, 0], 12),
            dns_domain: "cluster.local".to_owned(),
            plugin: Plugin::Manifest { manifest, images: BTreeSet::new() },
        },
        load_balancer: Some(HealthCheck::Readyz),
        nodes: std::iter::once(node("lb-1", 10, Role::LoadBalancer))
            .chain(planes)
            .chain(workers)
            .collect(),
        kubeadm: Kubeadm::default(),
        containerd: ContainerdSettings {
            sandbox_image: "registry.k8s.io/pause:3.10.1".to_owned(),
            systemd_cgroup: true,
            restrict_oom_score_adj: false,
        },
        packages: PackageSettings { repository: None, kubernetes: "1.35.4-1.1".to_owned() },
        images: Vec::new(),
        worker_joins: 2,
    }
}

/// A name that is known to be one.
///
/// # Panics
/// If it is none.
pub fn name(name: &str) -> NodeName {
    NodeName::try_from(name).expect("a node's name")
}

fn node(node: &str, host: u8, role: Role) -> NodeSpec {
    NodeSpec {
        name: name(node),
        address: IpAddr::V4(Ipv4Addr::new(10, 77, 0, host)),
        agent_port: AGENT_PORT,
        roles: BTreeSet::from([role]),
    }
}

fn subnet(address: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(address), length))
}
