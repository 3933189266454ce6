//! An outline while it is written: what each step needs besides its goal and its place.

use quorate_proto::goal::{Cluster, Entry, KubeNode, Peer};
use quorate_proto::{Goal, NodeName, StepId};

use super::standing::Standing;
use super::{Lane, Outline, Step};
use crate::spec::{ClusterSpec, NodeSpec, Role};

/// Collects steps, each after those that it waits for.
#[derive(Debug)]
pub(super) struct Draft {
    cluster: Cluster,
    steps: Vec<Step>,
}

impl Draft {
    pub(super) fn new(spec: &ClusterSpec, standing: &Standing) -> Self {
        Self { cluster: cluster(spec, standing), steps: Vec::new() }
    }

    /// The node as kubeadm's goals see it.
    pub(super) fn kube(&self, node: &NodeSpec, entry: Entry) -> KubeNode {
        KubeNode {
            node: node.name.clone(),
            address: node.address,
            entry,
            cluster: self.cluster.clone(),
        }
    }

    /// Adds a step that may run beside any other node's.
    pub(super) fn add(&mut self, node: &NodeName, goal: Goal, after: &[StepId]) -> StepId {
        self.add_in(Lane::Free, node, goal, after)
    }

    /// Adds a step that shares a lane with those of other nodes.
    pub(super) fn add_in(
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
            restarts: restarts(&goal).map(str::to_owned),
            transient: matches!(goal, Goal::JoinOffered(_) | Goal::JoinWithdrawn(_)),
            deadline_s: deadline_s(&goal),
            goal,
        });
        id
    }

    /// The steps so far whose orders carry join material.
    pub(super) fn using_material(&self) -> Vec<StepId> {
        let users = self.steps.iter().filter(|step| step.needs_material());
        users.map(|step| step.id.clone()).collect()
    }

    pub(super) fn finish(self) -> Outline {
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

/// What is interrupted on a node that is in use already.
fn restarts(goal: &Goal) -> Option<&'static str> {
    match goal {
        Goal::Containerd(_) => Some("restarts containerd"),
        Goal::LoadBalancer(_) => Some("reloads haproxy"),
        Goal::KubeletStarted(_) => Some("restarts the kubelet"),
        Goal::EtcdMember(_) => Some("restarts etcd if its manifest changes"),
        Goal::StaticPods(_) => {
            Some("restarts the API server, controller manager and scheduler whose manifest changes")
        }
        Goal::KubeletCertificate(kube) => kube.is_control_plane().then_some("restarts the kubelet"),
        Goal::Hosts(_)
        | Goal::SwapOff
        | Goal::KernelModules(_)
        | Goal::Sysctls(_)
        | Goal::PackageSource(_)
        | Goal::Packages(_)
        | Goal::ServiceRunning(_)
        | Goal::Images(_)
        | Goal::Certificates(_)
        | Goal::Kubeconfigs(_)
        | Goal::ApiServerReady(_)
        | Goal::ControlPlaneMarked(_)
        | Goal::AdminKubeconfig(_)
        | Goal::ClusterConfig(_)
        | Goal::JoinAccess(_)
        | Goal::Addons(_)
        | Goal::JoinOffered(_)
        | Goal::JoinWithdrawn(_)
        | Goal::Network(_)
        | Goal::NodeReady(_)
        | Goal::SystemPodsReady
        | Goal::EtcdHealthy(_)
        | Goal::EndpointReady(_)
        | Goal::BackendsUp(_)
        | Goal::ClusterDns(_)
        | Goal::EtcdMemberRemoved(_)
        | Goal::NodeRemoved(_) => None,
    }
}

/// Chosen as about ten times what the step took on two slow cores, and never less than what
/// kubeadm itself waits for: 2 min for etcd, 4 for an API server, 5 for a kubelet's certificate.
fn deadline_s(goal: &Goal) -> u64 {
    match goal {
        Goal::Images(_) => 1_800,
        Goal::PackageSource(_) | Goal::Packages(_) => 900,
        Goal::SystemPodsReady => 600,
        Goal::KubeletCertificate(_) | Goal::ApiServerReady(_) | Goal::NodeReady(_) => 360,
        Goal::EtcdMember(_) | Goal::EtcdHealthy(_) | Goal::ClusterDns(_) => 300,
        Goal::Containerd(_)
        | Goal::ServiceRunning(_)
        | Goal::LoadBalancer(_)
        | Goal::Certificates(_)
        | Goal::Kubeconfigs(_)
        | Goal::KubeletStarted(_)
        | Goal::StaticPods(_)
        | Goal::ControlPlaneMarked(_)
        | Goal::AdminKubeconfig(_)
        | Goal::ClusterConfig(_)
        | Goal::JoinAccess(_)
        | Goal::Addons(_)
        | Goal::JoinOffered(_)
        | Goal::JoinWithdrawn(_)
        | Goal::Network(_)
        | Goal::EndpointReady(_)
        | Goal::BackendsUp(_)
        | Goal::EtcdMemberRemoved(_)
        | Goal::NodeRemoved(_) => 180,
        Goal::Hosts(_) | Goal::SwapOff | Goal::KernelModules(_) | Goal::Sysctls(_) => 60,
    }
}
