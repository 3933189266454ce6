//! The fleet over gRPC with mutual TLS: one lazily connected channel a node.
//!
//! Deadlines are set here and errors get their meaning here; nothing is tried twice.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use quorate_proto::trust::{Contact, Credentials, SiteId, TrustError, explain};
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::wire::{MESSAGE_BYTES, Order, WireError, node};
use quorate_proto::{Event, Facts, Finding, Goal, NodeName, Refusal, Secret, Term, in_one_line};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::{Channels, Fleet, FleetError, KnownKeys, of_node};
use crate::spec::ClusterSpec;

/// An agent describes its node from memory and a few small files.
const DESCRIBE: Duration = Duration::from_secs(5);
/// A check of all goals asks the Kubernetes API a dozen times, a few at once; where that is silent,
/// the agent gives each question up after 5 s.
const CHECK: Duration = Duration::from_secs(30);
/// Of an audit log. A line has a few kilobytes at most, and a log some thousands of them a year.
const AUDIT_LINE: usize = 64 << 10;
const AUDIT_LINES: usize = 10_000_000;

/// The nodes of one specification.
#[derive(Debug, Clone)]
pub struct GrpcFleet {
    nodes: BTreeMap<NodeName, NodeClient<Channel>>,
}

impl GrpcFleet {
    /// Connects to no node yet, and knows no node's keys.
    pub fn new(
        spec: &ClusterSpec,
        site: &SiteId,
        credentials: &Arc<ArcSwap<Credentials>>,
    ) -> Result<Self, TrustError> {
        Ok(Self::over(&Channels::new(spec, site, credentials, &KnownKeys::default())?))
    }

    /// The fleet over channels that other calls may share.
    pub fn over(channels: &Channels) -> Self {
        let client = |channel: &Channel| {
            NodeClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES)
                .max_encoding_message_size(MESSAGE_BYTES)
        };
        let nodes = channels.nodes().map(|(node, channel)| (node.clone(), client(channel)));
        Self { nodes: nodes.collect() }
    }

    fn client(&self, node: &NodeName) -> Result<NodeClient<Channel>, FleetError> {
        of_node(&self.nodes, node)
    }
}

#[async_trait]
impl Fleet for GrpcFleet {
    async fn describe(&self, node: &NodeName, claim: Option<&Term>) -> Result<Facts, FleetError> {
        let mut client = self.client(node)?;
        let request = node::DescribeRequest::from(claim);
        let reply = within(node, DESCRIBE, client.describe(request)).await?;
        let facts: Facts = reply.try_into().map_err(|error| wire(node, &error))?;
        if facts.node == *node {
            return Ok(facts);
        }
        let why = format!("it says that it is {}, and its certificate is {node}'s", facts.node);
        Err(FleetError::Refused { node: node.clone(), why })
    }

    async fn check(&self, node: &NodeName, goals: &[Goal]) -> Result<Vec<Finding>, FleetError> {
        let mut client = self.client(node)?;
        let reply = within(node, CHECK, client.check(node::CheckRequest::from(goals))).await?;
        let findings: Vec<Finding> = reply.try_into().map_err(|error| wire(node, &error))?;
        if findings.len() == goals.len() {
            return Ok(findings);
        }
        let (asked, told) = (goals.len(), findings.len());
        let why =
            format!("it answered for {told} of {asked} goals; its agent may be of another version");
        Err(FleetError::Refused { node: node.clone(), why })
    }

    async fn ensure(
        &self,
        node: &NodeName,
        order: Order,
        events: UnboundedSender<Event>,
    ) -> Result<(), FleetError> {
        let mut client = self.client(node)?;
        let request = node::EnsureRequest::from(&order);
        // The answer comes as soon as the order is taken; only the stream after it is long.
        let mut stream = within(node, DESCRIBE, client.ensure(request)).await?;
        loop {
            let event = stream.message().await.map_err(|status| meaning(node, &status))?;
            let Some(event) = event else { return Err(silent(node, "the stream ended early")) };
            let event = Event::try_from(event).map_err(|error| wire(node, &error))?;
            let last = matches!(event, Event::Ended { .. });
            // The driver went away: what runs at the node goes on all the same.
            if events.send(event).is_err() || last {
                return Ok(());
            }
        }
    }

    async fn kubeconfig(&self, node: &NodeName) -> Result<Secret, FleetError> {
        let mut client = self.client(node)?;
        let reply = within(node, DESCRIBE, client.kubeconfig(node::KubeconfigRequest {})).await?;
        Ok(reply.into())
    }

    async fn audit(&self, node: &NodeName, lines: Sender<String>) -> Result<(), FleetError> {
        let mut client = self.client(node)?;
        let request = node::AuditRequest { after: 0 };
        let mut stream = within(node, DESCRIBE, client.audit(request)).await?;
        let mut count = 0;
        loop {
            let reply = tokio::time::timeout(CHECK, stream.message()).await;
            let reply = reply.map_err(|_elapsed| silent(node, "its audit log stopped coming"))?;
            let Some(reply) = reply.map_err(|status| meaning(node, &status))? else {
                return Ok(());
            };
            for line in reply.lines {
                count += 1;
                if line.len() > AUDIT_LINE || count > AUDIT_LINES {
                    let why = "its audit log has lines, or a number of them, that no agent writes";
                    return Err(FleetError::Refused { node: node.clone(), why: why.to_owned() });
                }
                if lines.send(line).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

pub(super) async fn within<T>(
    node: &NodeName,
    deadline: Duration,
    call: impl Future<Output = Result<Response<T>, Status>> + Send,
) -> Result<T, FleetError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(meaning(node, &status)),
        Err(_) => Err(silent(node, &format!("no answer within {} s", deadline.as_secs()))),
    }
}

fn silent(node: &NodeName, why: &str) -> FleetError {
    FleetError::Silent { node: node.clone(), why: why.to_owned() }
}

fn wire(node: &NodeName, error: &WireError) -> FleetError {
    FleetError::Refused { node: node.clone(), why: in_one_line(error) }
}

fn meaning(node: &NodeName, status: &Status) -> FleetError {
    let node = node.clone();
    match explain(status) {
        Contact::Silent { why } => return FleetError::Silent { node, why },
        Contact::Stranger { why } => return FleetError::Stranger { node, why },
        Contact::Answered => {}
    }
    match Refusal::from_status(status) {
        Some(Refusal::Superseded { term }) => FleetError::Superseded { node, term },
        Some(Refusal::Busy { operation, goal }) => FleetError::Busy { node, operation, goal },
        Some(Refusal::Invalid(why)) => FleetError::Refused { node, why },
        // An agent that shuts down says so; it may well be back in a moment.
        None if matches!(status.code(), Code::Unavailable | Code::Cancelled) => {
            silent(&node, status.message())
        }
        // Who may not do it is told so in whole sentences.
        None if matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated) => {
            FleetError::Refused { node, why: status.message().to_owned() }
        }
        None => {
            let why = format!("{} ({})", status.message(), status.code());
            FleetError::Refused { node, why }
        }
    }
}
