//! Goals of what the cluster holds once, and of what it brings about by itself. What a control plane
//! needs of its own is in `kubeadm`, and how a machine is prepared is in `host`.

mod addons;
mod config;
mod dns;
mod endpoint;
mod join_access;
mod join_offer;
mod kubectl;
mod network;
mod node_removed;
mod node_scheduling;
mod nodes_ready;
pub(in crate::goal) mod read;
mod system_pods;
#[cfg(test)]
pub(super) mod tests;

use quorate_proto::goal::ClusterGoal;

use self::addons::Addons;
use self::config::ClusterConfig;
use self::dns::ClusterDns;
use self::endpoint::EndpointReady;
use self::join_access::JoinAccess;
use self::join_offer::JoinWithdrawn;
use self::network::Network;
use self::nodes_ready::NodesReady;
use self::system_pods::SystemPodsReady;
use super::ensure_each;

ensure_each!(ClusterGoal {
    Self::ClusterConfig(node) => ClusterConfig(node),
    Self::JoinAccess(node) => JoinAccess(node),
    Self::Addons(node) => Addons(node),
    Self::JoinOffered(goal) => goal,
    Self::JoinWithdrawn(node) => JoinWithdrawn(node),
    Self::Network(manifest) => Network(manifest),
    Self::NodesReady(nodes) => NodesReady(nodes),
    Self::SystemPodsReady => SystemPodsReady,
    Self::EndpointReady(node) => EndpointReady(node),
    Self::ClusterDns(node) => ClusterDns(node),
    Self::NodeRemoved(goal) => goal,
    Self::NodeScheduling(goal) => node_scheduling::NodeScheduling(goal),
});
