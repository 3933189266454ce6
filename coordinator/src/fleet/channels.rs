//! One lazily connected channel for each node of a specification, shared by all calls to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quorate_proto::NodeName;
use quorate_proto::trust::{Credentials, NodeKeys, SiteId, TrustError, node_channel_of};
use tonic::transport::Channel;

use super::KnownKeys;
use crate::spec::ClusterSpec;

/// The channels to the nodes of one specification.
#[derive(Debug, Clone)]
pub struct Channels {
    site: SiteId,
    credentials: Arc<ArcSwap<Credentials>>,
    nodes: BTreeMap<NodeName, (SocketAddr, Channel)>,
}

impl Channels {
    /// Connects to no node: each channel does with its first call, and again after it broke.
    pub fn new(
        spec: &ClusterSpec,
        site: &SiteId,
        credentials: &Arc<ArcSwap<Credentials>>,
        known: &KnownKeys,
    ) -> Result<Self, TrustError> {
        let (site, credentials) = (*site, Arc::clone(credentials));
        let mut channels = Self { site, credentials, nodes: BTreeMap::new() };
        for node in &spec.nodes {
            let address = SocketAddr::new(node.address, node.agent_port);
            let (known, name) = (known.clone(), node.name.clone());
            channels.add(&node.name, address, move || known.of_node(&name))?;
        }
        Ok(channels)
    }

    /// The same for this node alone, over connections of their own, on which it has to show one of
    /// these keys.
    pub(super) fn shown(&self, node: &NodeName, keys: &NodeKeys) -> Result<Self, TrustError> {
        let mut channels = Self { nodes: BTreeMap::new(), ..self.clone() };
        if let Some((address, _)) = self.nodes.get(node) {
            let keys = keys.clone();
            channels.add(node, *address, move || Ok(keys.clone()))?;
        }
        Ok(channels)
    }

    /// The channels, by node.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&NodeName, &Channel)> {
        self.nodes.iter().map(|(node, (_, channel))| (node, channel))
    }

    fn add(
        &mut self,
        node: &NodeName,
        address: SocketAddr,
        keys: impl Fn() -> Result<NodeKeys, TrustError> + Send + 'static,
    ) -> Result<(), TrustError> {
        let credentials = Arc::clone(&self.credentials);
        let channel = node_channel_of(address, node, &self.site, credentials, keys)?;
        self.nodes.insert(node.clone(), (address, channel));
        Ok(())
    }
}
