//! The calls of trust.proto, and the push of a bundle to all nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate_proto::NodeName;
use quorate_proto::trust::calls::trust_client::TrustClient;
use quorate_proto::trust::calls::{PutBundleRequest, StatusRequest};
use quorate_proto::trust::{
    BUNDLE_BYTES, Credentials, KeyDigest, SiteId, TrustError, node_channel_of,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::FleetError;
use super::grpc::within;
use crate::spec::ClusterSpec;

/// A small file and a signature, at the agent.
const ANSWER: Duration = Duration::from_secs(10);

/// Which keys each node may show. A node that is not named may show any that the site's root signed.
pub type KnownKeys = BTreeMap<NodeName, BTreeSet<KeyDigest>>;

/// What became of a bundle at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It has this generation now.
    Given(u64),
    /// It had it.
    Had(u64),
    /// It has a newer one than the site: the site was set back.
    Ahead(u64),
}

impl Pushed {
    /// Of the bundle that the node has now.
    pub fn generation(self) -> u64 {
        match self {
            Self::Given(generation) | Self::Had(generation) | Self::Ahead(generation) => generation,
        }
    }
}

/// The nodes of one specification, for the calls about trust.
#[derive(Debug, Clone)]
pub struct TrustCalls {
    nodes: BTreeMap<NodeName, TrustClient<Channel>>,
}

impl TrustCalls {
    /// Connects to nobody yet.
    pub fn new(
        spec: &ClusterSpec,
        site: &SiteId,
        credentials: &Arc<ArcSwap<Credentials>>,
        known: &KnownKeys,
    ) -> Result<Self, TrustError> {
        let nodes = spec.nodes.iter().map(|node| {
            let address = SocketAddr::new(node.address, node.agent_port);
            let (credentials, keys) = (Arc::clone(credentials), known.get(&node.name).cloned());
            let channel = node_channel_of(address, &node.name, site, credentials, keys)?;
            let client = TrustClient::new(channel).max_encoding_message_size(3 * BUNDLE_BYTES);
            Ok((node.name.clone(), client))
        });
        Ok(Self { nodes: nodes.collect::<Result<_, TrustError>>()? })
    }

    /// The generation that each node keeps.
    pub async fn generations(&self) -> Vec<(NodeName, Result<u64, FleetError>)> {
        self.each(|node, client| async move { generation(&node, client).await }).await
    }

    /// Gives the bundle, a signed one as JSON, to each node that has an older one.
    pub async fn push(
        &self,
        newest: u64,
        json: &str,
    ) -> Vec<(NodeName, Result<Pushed, FleetError>)> {
        let json = json.to_owned();
        self.each(move |node, mut client| {
            let bundle = json.clone();
            async move {
                let kept = generation(&node, client.clone()).await?;
                if kept > newest {
                    return Ok(Pushed::Ahead(kept));
                }
                if kept == newest {
                    return Ok(Pushed::Had(kept));
                }
                let put = client.put_bundle(PutBundleRequest { bundle });
                let reply = within(&node, ANSWER, put).await?;
                Ok(Pushed::Given(reply.generation))
            }
        })
        .await
    }

    async fn each<T: Send + 'static, F: Future<Output = Result<T, FleetError>> + Send + 'static>(
        &self,
        ask: impl Fn(NodeName, TrustClient<Channel>) -> F,
    ) -> Vec<(NodeName, Result<T, FleetError>)> {
        let mut asked = JoinSet::new();
        for (node, client) in &self.nodes {
            let (node, answer) = (node.clone(), ask(node.clone(), client.clone()));
            asked.spawn(async move { (node, answer.await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by(|(one, _), (other, _)| one.cmp(other));
        answers
    }
}

async fn generation(node: &NodeName, mut client: TrustClient<Channel>) -> Result<u64, FleetError> {
    let reply = within(node, ANSWER, client.status(StatusRequest {})).await?;
    Ok(reply.generation)
}
