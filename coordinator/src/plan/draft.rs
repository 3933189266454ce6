//! An outline while it is written: what each step needs besides its goal and its place.

use quorate_proto::goal::{Cluster, Entry, KubeNode, Lifetime, Peer};
use quorate_proto::{Goal, NodeName, StepId};

use super::standing::Standing;
use super::{Lane, Outline, Step};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// Collects steps, each after those that it waits for.
#[derive(Debug)]
pub(crate) struct Draft {
    cluster: Cluster,
    steps: Vec<Step>,
}

impl Draft {
    pub(crate) fn new(spec: &ClusterSpec, standing: &Standing) -> Self {
        Self { cluster: cluster(spec, standing), steps: Vec::new() }
    }

    /// The node as kubeadm's goals see it.
    pub(crate) fn kube(&self, node: &NodeSpec, entry: Entry) -> KubeNode {
        KubeNode {
            node: node.name.clone(),
            address: node.address,
            entry,
            cluster: self.cluster.clone(),
        }
    }

    /// Adds a step that may run beside any other node's.
    pub(crate) fn add(&mut self, node: &NodeName, goal: Goal, after: &[StepId]) -> StepId {
        self.add_in(Lane::Free, node, goal, after)
    }

    /// Adds a step that shares a lane with those of other nodes.
    pub(crate) fn add_in(
        &mut self,
        lane: Lane,
        node: &NodeName,
        goal: Goal,
        after: &[StepId],
    ) -> StepId {
        let id = StepId { node: node.clone(), goal: goal.id() };
        self.steps.push(Step {
            id: id.clone(),
            after: after.to_vec(),
            lane,
            restarts: goal.interrupts().map(|what| what.to_string()),
            transient: goal.traits().lifetime != Lifetime::Lasting,
            deadline_s: goal.traits().deadline.as_secs(),
            goal,
        });
        id
    }

    /// The steps so far whose orders carry join material.
    pub(crate) fn using_material(&self) -> Vec<StepId> {
        let users = self.steps.iter().filter(|step| step.needs_material());
        users.map(|step| step.id.clone()).collect()
    }

    pub(crate) fn finish(self) -> Outline {
        Outline { steps: self.steps }
    }
}

fn cluster(spec: &ClusterSpec, standing: &Standing) -> Cluster {
    let peer = |node: &NodeSpec| Peer { node: node.name.clone(), address: node.address };
    Cluster {
        name: spec.name.clone(),
        version: spec.version,
        endpoint: spec.endpoint.clone(),
        api_port: spec.api_port,
        pod_subnet: spec.network.pod_subnet,
        service_subnet: spec.network.service_subnet,
        dns_domain: spec.network.dns_domain.clone(),
        ca: standing.ca.clone(),
        control_planes: spec.with_role(Role::ControlPlane).map(peer).collect(),
        cert_sans: spec.kubeadm.cert_sans.clone(),
        kubelet: spec.kubeadm.kubelet_configuration.clone(),
        kube_proxy: spec.kubeadm.kube_proxy_configuration.clone(),
        extra_args: spec.kubeadm.extra_args.clone(),
        ignore_preflight_errors: spec.kubeadm.ignore_preflight_errors.clone(),
        image_repository: spec.kubeadm.image_repository.clone(),
    }
}
