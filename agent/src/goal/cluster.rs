//! The goals of kubeadm and of the cluster. What a node needs before is in the other modules.

mod addons;
mod config;
mod dns;
mod endpoint;
mod etcd_healthy;
mod join_access;
mod join_offer;
mod network;
mod node_ready;
pub(in crate::goal) mod read;
mod system_pods;

use async_trait::async_trait;
use quorate_proto::{Finding, Goal};

use super::{Ensure, Work, kubeadm};
use crate::host::{Host, HostError};

/// What checks and applies a goal of kubeadm's or of the cluster's.
pub(super) fn of(goal: &Goal) -> Box<dyn Ensure + '_> {
    match goal {
        Goal::Certificates(node) => Box::new(kubeadm::Certificates(node)),
        Goal::Kubeconfigs(node) => Box::new(kubeadm::Kubeconfigs(node)),
        Goal::KubeletStarted(node) => Box::new(kubeadm::KubeletStarted(node)),
        Goal::EtcdMember(node) => Box::new(kubeadm::EtcdMember(node)),
        Goal::StaticPods(node) => Box::new(kubeadm::StaticPods(node)),
        Goal::ApiServerReady(node) => Box::new(kubeadm::ApiServerReady(node)),
        Goal::KubeletCertificate(node) => Box::new(kubeadm::KubeletCertificate(node)),
        Goal::ControlPlaneMarked(node) => Box::new(kubeadm::ControlPlaneMarked(node)),
        Goal::AdminKubeconfig(_) => Box::new(kubeadm::AdminKubeconfig),
        Goal::ClusterConfig(node) => Box::new(config::ClusterConfig(node)),
        Goal::JoinAccess(node) => Box::new(join_access::JoinAccess(node)),
        Goal::Addons(node) => Box::new(addons::Addons(node)),
        Goal::JoinOffered(offer) => Box::new(join_offer::JoinOffered(offer)),
        Goal::JoinWithdrawn(node) => Box::new(join_offer::JoinWithdrawn(node)),
        Goal::Network(manifest) => Box::new(network::Network(manifest)),
        Goal::NodeReady(node) => Box::new(node_ready::NodeReady(node)),
        Goal::SystemPodsReady => Box::new(system_pods::SystemPodsReady),
        Goal::EtcdHealthy(node) => Box::new(etcd_healthy::EtcdHealthy(node)),
        Goal::EndpointReady(node) => Box::new(endpoint::EndpointReady(node)),
        Goal::ClusterDns(node) => Box::new(dns::ClusterDns(node)),
        Goal::Hosts(_)
        | Goal::SwapOff
        | Goal::KernelModules(_)
        | Goal::Sysctls(_)
        | Goal::PackageSource(_)
        | Goal::Packages(_)
        | Goal::Containerd(_)
        | Goal::ServiceRunning(_)
        | Goal::Images(_)
        | Goal::LoadBalancer(_)
        | Goal::BackendsUp(_) => Box::new(Elsewhere(goal)),
    }
}

/// A goal of the machine's, which [`super`] knows and never passes on.
struct Elsewhere<'a>(&'a Goal);

impl Elsewhere<'_> {
    fn refusal<T>(&self) -> Result<T, HostError> {
        let kind = self.0.kind();
        Err(HostError::Refused(format!("{kind} is no goal of the cluster: this is our bug")))
    }
}

#[async_trait]
impl Ensure for Elsewhere<'_> {
    async fn check(&self, _: &dyn Host) -> Result<Finding, HostError> {
        self.refusal()
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        self.refusal()
    }
}

#[cfg(test)]
mod tests;
