//! What a node's agent reports of it.

use quorate::spec::Role;
use quorate_proto::goal::Kind;
use quorate_proto::{
    CaFacts, Facts, InForce, KubernetesFacts, NodeFacts, NodeName, Sha256, UnderWay,
};

use super::world::SimCluster;

impl SimCluster {
    /// The answer to Describe.
    pub(super) fn facts(&self, name: &NodeName) -> Facts {
        let node = self.node(name);
        let plane = self.names(Role::ControlPlane).any(|plane| plane == name);
        let under_way = node.operation.as_ref().map(|operation| UnderWay {
            operation: operation.id.clone(),
            term: operation.term.clone(),
            goal: operation.goal.id(),
            since_ms: 0,
        });
        let authority =
            |number: u64| CaFacts { pem: String::new(), spki: Sha256::of(&number.to_be_bytes()) };
        let pods =
            [("etcd", node.etcd_pod), ("kube-apiserver", self.holds(name, Kind::StaticPods))];
        Facts {
            audit: None,
            nodes: self.serves(name).then(|| self.registered()),
            node: name.clone(),
            agent_version: "0.1.0".to_owned(),
            machine: node.machine.clone(),
            term: node.term.clone(),
            under_way,
            kubernetes: KubernetesFacts {
                ca: node.authority.map(authority),
                ca_key: plane && node.authority.is_some(),
                super_admin: node.super_admin,
                kubelet_conf: node.super_admin || self.holds(name, Kind::KubeletCertificate),
                static_pods: pods.iter().filter(|pod| pod.1).map(|pod| pod.0.to_owned()).collect(),
                etcd_data: node.etcd_data,
                kubelet_version: None,
                in_force: self.in_force(name),
            },
            etcd: self.told_by(name),
        }
    }

    fn registered(&self) -> Vec<NodeFacts> {
        let joined = self.nodes.keys().filter(|name| self.holds(name, Kind::KubeletCertificate));
        let node = |name: &NodeName| NodeFacts {
            name: name.to_string(),
            ready: self.is_ready(name),
            kubelet_version: None,
            address: None,
        };
        joined.map(node).collect()
    }

    /// Control planes run by what the cluster was initialised with; workers say nothing of it here.
    fn in_force(&self, name: &NodeName) -> InForce {
        let spec = self.initialised_as.as_ref().filter(|_| self.holds(name, Kind::StaticPods));
        spec.map_or_else(InForce::default, |spec| InForce {
            name: Some(spec.name.clone()),
            version: Some(spec.version),
            endpoint: Some(spec.endpoint.to_string()),
            api_port: Some(spec.api_port.to_string()),
            pod_subnet: Some(spec.network.pod_subnet.to_string()),
            service_subnet: Some(spec.network.service_subnet.to_string()),
            dns_domain: Some(spec.network.dns_domain.clone()),
            ..InForce::default()
        })
    }
}
