//! Goals of what the cluster holds once, and of what it brings about by itself. What a control plane
//! needs of its own is in `kubeadm`, and how a machine is prepared is in the modules beside.

mod addons;
mod config;
mod dns;
mod endpoint;
mod etcd_healthy;
mod etcd_member_removed;
mod join_access;
mod join_offer;
mod network;
mod node_removed;
mod node_scheduling;
mod nodes_ready;
pub(in crate::goal) mod read;
mod system_pods;
#[cfg(test)]
pub(super) mod tests;

pub(super) use addons::Addons;
pub(super) use config::ClusterConfig;
pub(super) use dns::ClusterDns;
pub(super) use endpoint::EndpointReady;
pub(super) use etcd_healthy::EtcdHealthy;
pub(super) use etcd_member_removed::EtcdMemberRemoved;
pub(super) use join_access::JoinAccess;
pub(super) use join_offer::{JoinOffered, JoinWithdrawn};
pub(super) use network::Network;
pub(super) use node_removed::NodeRemoved;
pub(super) use node_scheduling::NodeScheduling;
pub(super) use nodes_ready::NodesReady;
pub(super) use system_pods::SystemPodsReady;
