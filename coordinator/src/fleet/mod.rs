//! The nodes, as the coordinator may speak to them. `grpc` does it over mutual TLS.

mod anchored;
mod channels;
mod grpc;
mod known;
mod trust;

use std::collections::BTreeMap;

pub use anchored::Anchored;
use async_trait::async_trait;
pub use channels::Channels;
pub use grpc::GrpcFleet;
pub use known::KnownKeys;
use quorate_proto::wire::Order;
use quorate_proto::{Event, Facts, Finding, Goal, GoalId, NodeName, OperationId, Secret, Term};
use tokio::sync::mpsc::{Sender, UnboundedSender};
pub use trust::{NodeTrust, Pushed, Statuses, TrustCalls};

/// Every call names the node; no call retries by itself.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// What the node is and holds. A run that will give orders claims the node with its term: an
    /// older order that is still on its way cannot begin after this answer.
    async fn describe(&self, node: &NodeName, claim: Option<&Term>) -> Result<Facts, FleetError>;
    /// A finding for each goal, in their order.
    async fn check(&self, node: &NodeName, goals: &[Goal]) -> Result<Vec<Finding>, FleetError>;
    /// Sends an order and passes on what the node tells of it, until `Event::Ended` or an error.
    async fn ensure(
        &self,
        node: &NodeName,
        order: Order,
        events: UnboundedSender<Event>,
    ) -> Result<(), FleetError>;
    /// The cluster's admin kubeconfig, from a node that runs a control plane.
    async fn kubeconfig(&self, node: &NodeName) -> Result<Secret, FleetError>;
    /// Passes on the lines of the node's audit log, oldest first.
    async fn audit(&self, node: &NodeName, _lines: Sender<String>) -> Result<(), FleetError> {
        let why = "it hands out no audit log".to_owned();
        Err(FleetError::Refused { node: node.clone(), why })
    }
}

/// What is kept for a node of the specification.
fn of_node<T: Clone>(nodes: &BTreeMap<NodeName, T>, node: &NodeName) -> Result<T, FleetError> {
    nodes.get(node).cloned().ok_or_else(|| FleetError::Refused {
        node: node.clone(),
        why: "the specification does not name it".to_owned(),
    })
}

/// Why a node did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// No answer: what the node is doing is not known.
    #[error("node {node} does not answer")]
    Silent { node: NodeName, why: String },
    /// Someone answers at the node's address who is not that node of this site.
    #[error("who answers for node {node} is not that node")]
    Stranger { node: NodeName, why: String },
    /// What the node tells of its own past is not what it told before.
    #[error("node {node} is not trusted")]
    Distrusted { node: NodeName, why: String },
    /// A newer run gives the orders now.
    #[error("node {node} obeys a newer run")]
    Superseded { node: NodeName, term: Term },
    /// The node does something else at this moment.
    #[error("node {node} is busy")]
    Busy { node: NodeName, operation: OperationId, goal: GoalId },
    /// The node refused the order for another reason.
    #[error("node {node} refused the order")]
    Refused { node: NodeName, why: String },
}

impl FleetError {
    /// What happened, without the node's name, for lines that begin with it.
    pub fn why(&self) -> String {
        match self {
            Self::Silent { why, .. }
            | Self::Stranger { why, .. }
            | Self::Distrusted { why, .. }
            | Self::Refused { why, .. } => why.clone(),
            Self::Superseded { term, .. } => format!("it obeys term {term}"),
            Self::Busy { operation, goal, .. } => {
                format!("it is busy with {goal} (operation {operation})")
            }
        }
    }
}
