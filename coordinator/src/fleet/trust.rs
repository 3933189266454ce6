//! The calls of trust.proto, and the push of a bundle to all nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_proto::NodeName;
use quorate_proto::trust::calls::trust_client::TrustClient;
use quorate_proto::trust::calls::{
    BeginRenewalRequest, FinishRenewalRequest, PutBundleRequest, StatusRequest,
};
use quorate_proto::trust::{BUNDLE_BYTES, NodeKeys, TrustError};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::grpc::within;
use super::{Channels, FleetError, of_node};

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

/// What each node says of its trust, by name.
pub type Statuses = Vec<(NodeName, Result<NodeTrust, FleetError>)>;

/// The nodes of one specification, for the calls about trust.
#[derive(Debug, Clone)]
pub struct TrustCalls {
    channels: Channels,
    nodes: BTreeMap<NodeName, TrustClient<Channel>>,
}

impl TrustCalls {
    /// The calls over channels that others may share.
    pub fn over(channels: Channels) -> Self {
        let client = |channel: &Channel| {
            TrustClient::new(channel.clone()).max_encoding_message_size(3 * BUNDLE_BYTES)
        };
        let nodes = channels.nodes().map(|(node, channel)| (node.clone(), client(channel)));
        Self { nodes: nodes.collect(), channels }
    }

    /// The nodes, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.nodes.keys()
    }

    /// The same calls to this node alone, over connections of their own, on which it has to show one of
    /// these keys.
    pub fn shown(&self, node: &NodeName, keys: &NodeKeys) -> Result<Self, TrustError> {
        self.channels.shown(node, keys).map(Self::over)
    }

    /// What each node says of its trust.
    pub async fn statuses(&self) -> Statuses {
        let asked = self.nodes.iter().map(|(node, client)| {
            let (name, client) = (node.clone(), client.clone());
            (node.clone(), async move { status(&name, client).await })
        });
        each(asked).await
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

    /// Gives the bundle, a signed one as JSON, to each node whose status says that it has an older one.
    pub async fn push(
        &self,
        statuses: Statuses,
        newest: u64,
        json: &str,
    ) -> Vec<(NodeName, Result<Pushed, FleetError>)> {
        let given = statuses.into_iter().map(|(node, status)| {
            let (name, bundle) = (node.clone(), json.to_owned());
            let client = self.of(&node);
            let give = async move {
                let kept = status?.generation;
                if kept > newest {
                    return Ok(Pushed::Ahead(kept));
                }
                if kept == newest {
                    return Ok(Pushed::Had(kept));
                }
                let mut client = client?;
                let put = client.put_bundle(PutBundleRequest { bundle });
                let reply = within(&name, ANSWER, put).await?;
                Ok(Pushed::Given(reply.generation))
            };
            (node, give)
        });
        each(given).await
    }
}

/// Makes calls to nodes at the same time, and gives their answers by the nodes' names.
async fn each<T: Send + 'static>(
    calls: impl Iterator<Item = (NodeName, impl Future<Output = T> + Send + 'static)>,
) -> Vec<(NodeName, T)> {
    let mut made = JoinSet::new();
    for (node, call) in calls {
        made.spawn(async move { (node, call.await) });
    }
    let mut answers = made.join_all().await;
    answers.sort_by(|(one, _), (other, _)| one.cmp(other));
    answers
}

async fn status(
    node: &NodeName,
    mut client: TrustClient<Channel>,
) -> Result<NodeTrust, FleetError> {
    let reply = within(node, ANSWER, client.status(StatusRequest {})).await?;
    Ok(NodeTrust { generation: reply.generation, certificate: reply.certificate })
}
