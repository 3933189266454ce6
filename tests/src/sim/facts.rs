//! What a node's agent reports of it.

use quorate::spec::Role;
use quorate_proto::goal::Kind;
use quorate_proto::{CaFacts, Facts, KubernetesFacts, NodeName, Sha256, UnderWay};

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
            },
            etcd: self.told_by(name),
        }
    }
}
