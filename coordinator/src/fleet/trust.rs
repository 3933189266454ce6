//! The calls of trust.proto, and the push of a bundle to all nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate_proto::NodeName;
use quorate_proto::trust::calls::trust_client::TrustClient;
use quorate_proto::trust::calls::{
    BeginRenewalRequest, FinishRenewalRequest, PutBundleRequest, StatusRequest,
};
use quorate_proto::trust::{
    BUNDLE_BYTES, Credentials, NodeKeys, SiteId, TrustError, node_channel_of,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::grpc::within;
use super::{FleetError, KnownKeys, of_node};
use crate::spec::ClusterSpec;

/// A small file and a signature, at the agent.
const ANSWER: Duration = Duration::from_secs(10);

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

/// What a node says of its trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTrust {
    /// Of the bundle that it keeps; 0 before the first.
    pub generation: u64,
    /// What it shows, DER.
    pub certificate: Vec<u8>,
}

/// The nodes of one specification, for the calls about trust.
#[derive(Debug, Clone)]
pub struct TrustCalls {
    site: SiteId,
    credentials: Arc<ArcSwap<Credentials>>,
    addresses: BTreeMap<NodeName, SocketAddr>,
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
        let mut calls = Self {
            site: *site,
            credentials: Arc::clone(credentials),
            addresses: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        for node in &spec.nodes {
            let address = SocketAddr::new(node.address, node.agent_port);
            calls.addresses.insert(node.name.clone(), address);
            let (known, name) = (known.clone(), node.name.clone());
            let client = calls.client(&node.name, address, move || known.of_node(&name))?;
            calls.nodes.insert(node.name.clone(), client);
        }
        Ok(calls)
    }

    fn client(
        &self,
        node: &NodeName,
        address: SocketAddr,
        keys: impl Fn() -> Result<NodeKeys, TrustError> + Send + 'static,
    ) -> Result<TrustClient<Channel>, TrustError> {
        let credentials = Arc::clone(&self.credentials);
        let channel = node_channel_of(address, node, &self.site, credentials, keys)?;
        Ok(TrustClient::new(channel).max_encoding_message_size(3 * BUNDLE_BYTES))
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// The same calls to this node alone, over connections of their own, on which it has to show one of
    /// these keys.
    pub fn shown(&self, node: &NodeName, keys: &NodeKeys) -> Result<Self, TrustError> {
        let mut calls = Self { nodes: BTreeMap::new(), ..self.clone() };
        if let Some(address) = self.addresses.get(node) {
            let keys = keys.clone();
            let client = self.client(node, *address, move || Ok(keys.clone()))?;
            calls.nodes.insert(node.clone(), client);
        }
        Ok(calls)
    }

    /// What each node says of its trust.
    pub async fn statuses(&self) -> Vec<(NodeName, Result<NodeTrust, FleetError>)> {
        self.each(|node, client| async move { status(&node, client).await }).await
    }

    /// What one node says of its trust.
    pub async fn status(&self, node: &NodeName) -> Result<NodeTrust, FleetError> {
        status(node, self.of(node)?).await
    }

    /// Asks the node for a new key: a certificate request, DER.
    pub async fn begin_renewal(&self, node: &NodeName) -> Result<Vec<u8>, FleetError> {
        let mut client = self.of(node)?;
        let begun = client.begin_renewal(BeginRenewalRequest {});
        Ok(within(node, ANSWER, begun).await?.csr_der)
    }

    /// Hands the certificate of that key over, DER, leaf first.
    pub async fn finish_renewal(
        &self,
        node: &NodeName,
        chain: Vec<Vec<u8>>,
    ) -> Result<(), FleetError> {
        let mut client = self.of(node)?;
        let finished = client.finish_renewal(FinishRenewalRequest { chain });
        within(node, ANSWER, finished).await.map(drop)
    }

    fn of(&self, node: &NodeName) -> Result<TrustClient<Channel>, FleetError> {
        of_node(&self.nodes, node)
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
                let kept = status(&node, client.clone()).await?.generation;
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

async fn status(
    node: &NodeName,
    mut client: TrustClient<Channel>,
) -> Result<NodeTrust, FleetError> {
    let reply = within(node, ANSWER, client.status(StatusRequest {})).await?;
    Ok(NodeTrust { generation: reply.generation, certificate: reply.certificate })
}
