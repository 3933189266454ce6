//! What it takes to check a goal and to make it hold. One module for each goal or family.

mod backends_up;
mod cluster;
#[cfg(test)]
mod conformance;
mod containerd;
mod hosts;
mod image_names;
mod images;
mod kernel_modules;
mod kubeadm;
mod load_balancer;
mod own_file;
mod package_source;
mod packages;
#[cfg(test)]
mod refusals;
mod service_running;
mod swap_off;
mod sysctls;
mod wait;

use async_trait::async_trait;
use quorate_proto::{Finding, Goal, JoinMaterial};

use crate::host::{Host, HostError};
use crate::progress::Progress;

/// A goal that this node can check and apply.
#[async_trait]
pub trait Ensure: Send + Sync {
    /// Reports every difference from the goal, changing nothing.
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError>;

    /// Moves the host towards the goal; safe to run again after an interruption at any point.
    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError>;
}

/// What an apply is given beside the host.
#[derive(Debug)]
pub struct Work<'a> {
    pub progress: &'a Progress,
    /// Came with the order, for this operation alone.
    pub material: Option<&'a JoinMaterial>,
}

/// What checks and applies this goal.
pub fn of(goal: &Goal) -> Box<dyn Ensure + '_> {
    match goal {
        Goal::Hosts(goal) => Box::new(hosts::EtcHosts(goal)),
        Goal::SwapOff => Box::new(swap_off::SwapOff),
        Goal::KernelModules(goal) => Box::new(kernel_modules::Loaded(goal)),
        Goal::Sysctls(goal) => Box::new(sysctls::Set(goal)),
        Goal::PackageSource(goal) => Box::new(package_source::Known(goal)),
        Goal::Packages(goal) => Box::new(packages::Installed(goal)),
        Goal::Containerd(goal) => Box::new(containerd::Configured(goal)),
        Goal::ServiceRunning(goal) => Box::new(service_running::Running(goal)),
        Goal::Images(goal) => Box::new(images::Present(goal)),
        Goal::LoadBalancer(goal) => Box::new(load_balancer::Serving(goal)),
        Goal::Certificates(node) => Box::new(kubeadm::Certificates(node)),
        Goal::Kubeconfigs(node) => Box::new(kubeadm::Kubeconfigs(node)),
        Goal::KubeletStarted(node) => Box::new(kubeadm::KubeletStarted(node)),
        Goal::EtcdMember(node) => Box::new(kubeadm::EtcdMember(node)),
        Goal::StaticPods(node) => Box::new(kubeadm::StaticPods(node)),
        Goal::ApiServerReady(node) => Box::new(kubeadm::ApiServerReady(node)),
        Goal::KubeletCertificate(node) => Box::new(kubeadm::KubeletCertificate(node)),
        Goal::ControlPlaneMarked(node) => Box::new(kubeadm::ControlPlaneMarked(node)),
        Goal::AdminKubeconfig(_) => Box::new(kubeadm::AdminKubeconfig),
        Goal::ClusterConfig(node) => Box::new(cluster::ClusterConfig(node)),
        Goal::JoinAccess(node) => Box::new(cluster::JoinAccess(node)),
        Goal::Addons(node) => Box::new(cluster::Addons(node)),
        Goal::JoinOffered(offer) => Box::new(cluster::JoinOffered(offer)),
        Goal::JoinWithdrawn(node) => Box::new(cluster::JoinWithdrawn(node)),
        Goal::Network(manifest) => Box::new(cluster::Network(manifest)),
        Goal::NodeReady(node) => Box::new(cluster::NodeReady(node)),
        Goal::SystemPodsReady => Box::new(cluster::SystemPodsReady),
        Goal::EtcdHealthy(node) => Box::new(cluster::EtcdHealthy(node)),
        Goal::EndpointReady(node) => Box::new(cluster::EndpointReady(node)),
        Goal::BackendsUp(goal) => Box::new(backends_up::BackendsUp(goal)),
        Goal::ClusterDns(node) => Box::new(cluster::ClusterDns(node)),
        Goal::EtcdMemberRemoved(member) => Box::new(cluster::EtcdMemberRemoved(member)),
        Goal::NodeRemoved(removal) => Box::new(cluster::NodeRemoved(removal)),
    }
}
