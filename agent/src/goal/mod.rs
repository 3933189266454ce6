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
use quorate_proto::goal::{
    BalancerGoal, ClusterGoal, EtcdGoal, HostGoal, KubeNode, KubeadmGoal, RuntimeGoal,
};
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
        Goal::Host(goal) => of_host(goal),
        Goal::Runtime(RuntimeGoal::Containerd(goal)) => Box::new(containerd::Configured(goal)),
        Goal::Runtime(RuntimeGoal::Images(goal)) => Box::new(images::Present(goal)),
        Goal::Balancer(BalancerGoal::LoadBalancer(goal)) => Box::new(load_balancer::Serving(goal)),
        Goal::Balancer(BalancerGoal::BackendsUp(goal)) => Box::new(backends_up::BackendsUp(goal)),
        Goal::Etcd(EtcdGoal::EtcdMember(node)) => Box::new(kubeadm::EtcdMember(node)),
        Goal::Etcd(EtcdGoal::EtcdHealthy(node)) => Box::new(cluster::EtcdHealthy(node)),
        Goal::Etcd(EtcdGoal::EtcdMemberRemoved(goal)) => Box::new(cluster::EtcdMemberRemoved(goal)),
        Goal::Kubeadm(goal, node) => of_kubeadm(*goal, node),
        Goal::Cluster(goal) => of_cluster(goal),
    }
}

fn of_host(goal: &HostGoal) -> Box<dyn Ensure + '_> {
    match goal {
        HostGoal::Hosts(goal) => Box::new(hosts::EtcHosts(goal)),
        HostGoal::SwapOff => Box::new(swap_off::SwapOff),
        HostGoal::KernelModules(goal) => Box::new(kernel_modules::Loaded(goal)),
        HostGoal::Sysctls(goal) => Box::new(sysctls::Set(goal)),
        HostGoal::PackageSource(goal) => Box::new(package_source::Known(goal)),
        HostGoal::Packages(goal) => Box::new(packages::Installed(goal)),
        HostGoal::ServiceRunning(goal) => Box::new(service_running::Running(goal)),
    }
}

fn of_kubeadm(goal: KubeadmGoal, node: &KubeNode) -> Box<dyn Ensure + '_> {
    match goal {
        KubeadmGoal::Certificates => Box::new(kubeadm::Certificates(node)),
        KubeadmGoal::Kubeconfigs => Box::new(kubeadm::Kubeconfigs(node)),
        KubeadmGoal::KubeletStarted => Box::new(kubeadm::KubeletStarted(node)),
        KubeadmGoal::StaticPods => Box::new(kubeadm::StaticPods(node)),
        KubeadmGoal::ApiServerReady => Box::new(kubeadm::ApiServerReady(node)),
        KubeadmGoal::KubeletCertificate => Box::new(kubeadm::KubeletCertificate(node)),
        KubeadmGoal::ControlPlaneMarked => Box::new(kubeadm::ControlPlaneMarked(node)),
        KubeadmGoal::AdminKubeconfig => Box::new(kubeadm::AdminKubeconfig),
    }
}

fn of_cluster(goal: &ClusterGoal) -> Box<dyn Ensure + '_> {
    match goal {
        ClusterGoal::ClusterConfig(node) => Box::new(cluster::ClusterConfig(node)),
        ClusterGoal::JoinAccess(node) => Box::new(cluster::JoinAccess(node)),
        ClusterGoal::Addons(node) => Box::new(cluster::Addons(node)),
        ClusterGoal::JoinOffered(offer) => Box::new(cluster::JoinOffered(offer)),
        ClusterGoal::JoinWithdrawn(node) => Box::new(cluster::JoinWithdrawn(node)),
        ClusterGoal::Network(manifest) => Box::new(cluster::Network(manifest)),
        ClusterGoal::NodesReady(nodes) => Box::new(cluster::NodesReady(nodes)),
        ClusterGoal::SystemPodsReady => Box::new(cluster::SystemPodsReady),
        ClusterGoal::EndpointReady(node) => Box::new(cluster::EndpointReady(node)),
        ClusterGoal::ClusterDns(node) => Box::new(cluster::ClusterDns(node)),
        ClusterGoal::NodeRemoved(removal) => Box::new(cluster::NodeRemoved(removal)),
        ClusterGoal::NodeScheduling(goal) => Box::new(cluster::NodeScheduling(goal)),
    }
}
