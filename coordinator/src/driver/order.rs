//! One order to one node, followed to its end through broken connections.
//!
//! An order is never simply sent again: after a break the node is asked what it does, and unless it
//! works on this very operation, whether the goal holds already.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::redact::Lines;
use quorate_proto::wire::Order;
use quorate_proto::{
    Event, Failure, Finding, GoalId, JoinMaterial, NodeName, OperationId, Redactor, Term,
};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::unbounded_channel;

use crate::fleet::{Fleet, FleetError};
use crate::plan::Step;

/// Waits before the node is asked again. A restarted agent is back within the first, a rebooted
/// machine within all of them: together two minutes.
const PATIENCE: [Duration; 8] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(6),
    Duration::from_secs(20),
    Duration::from_secs(30),
    Duration::from_secs(30),
    Duration::from_secs(30),
];
/// Between two looks at an operation of another run.
const LOOK: Duration = Duration::from_secs(1);

/// What came of an order so far. All but `Broken`, and `Told` without `Ended`, is the last of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    Told(Event),
    /// The connection broke; the node is asked again.
    Broken(String),
    /// What the node does is not known.
    Lost(String),
    /// The node is at another operation, and did not take this one.
    Busy {
        operation: OperationId,
        goal: GoalId,
    },
    /// The operation of another run is over.
    Freed,
    /// A newer run gives the orders.
    Superseded(Term),
}

/// How an order begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is sent.
    Send,
    /// An attempt failed: the node is asked first whether the goal holds by now.
    Ask,
}

/// Whom the orders of a run go to, by which right and with which secrets.
pub(super) struct Orders {
    pub(super) fleet: Arc<dyn Fleet>,
    pub(super) term: Term,
    pub(super) material: JoinMaterial,
    /// The agents hide it already; what they tell is stored here, so it is not left to them.
    pub(super) redactor: Redactor,
    /// Any of them can tell the cluster's certificate authority.
    pub(super) control_planes: Vec<NodeName>,
    pub(super) ca_pem: OnceCell<String>,
}

impl Orders {
    /// Sends the order for a step, or attaches to it, and tells the news until there is no more.
    pub(super) async fn follow(
        self: Arc<Self>,
        step: Step,
        operation: OperationId,
        begin: Begin,
        tell: impl Fn(News) + Send + Sync,
    ) {
        let last = match self.order(&step, operation).await {
            Ok(order) => {
                let attempt = Attempt { orders: &self, node: &step.id.node, order };
                attempt.to_the_end(begin, &tell).await
            }
            Err(why) => News::Told(refused(why)),
        };
        tell(last);
    }

    /// Waits until the node is no longer at an operation that this run has no order for.
    pub(super) async fn wait(
        self: Arc<Self>,
        node: NodeName,
        operation: OperationId,
        tell: impl Fn(News) + Send + Sync,
    ) {
        let mut patience = PATIENCE.iter();
        let last = loop {
            let wait = match self.fleet.describe(&node, None).await {
                Ok(facts)
                    if facts.under_way.as_ref().is_none_or(|now| now.operation != operation) =>
                {
                    break News::Freed;
                }
                Ok(_) => {
                    patience = PATIENCE.iter();
                    LOOK
                }
                Err(error) => match patience.next() {
                    Some(wait) => *wait,
                    None => break News::Lost(error.why()),
                },
            };
            tokio::time::sleep(wait).await;
        };
        tell(last);
    }

    async fn order(&self, step: &Step, operation: OperationId) -> Result<Order, String> {
        let material = if step.needs_material() {
            let offers = step.goal.is_of_one_run();
            let mut material = self.material.clone();
            if !offers {
                material.ca_pem = Some(self.ca_pem().await?);
            }
            Some(material)
        } else {
            None
        };
        Ok(Order { operation, term: self.term.clone(), goal: step.goal.clone(), material })
    }

    /// The certificate authority of the cluster that was founded, asked for once.
    async fn ca_pem(&self) -> Result<String, String> {
        let ask = async || {
            for node in &self.control_planes {
                if let Ok(facts) = self.fleet.describe(node, None).await
                    && let Some(ca) = facts.kubernetes.ca
                {
                    return Ok(ca.pem);
                }
            }
            Err("no control plane that answers can tell the cluster's certificate authority")
        };
        self.ca_pem.get_or_try_init(ask).await.cloned().map_err(str::to_owned)
    }
}

/// One order on its way.
struct Attempt<'a> {
    orders: &'a Orders,
    node: &'a NodeName,
    order: Order,
}

impl Attempt<'_> {
    async fn to_the_end(&self, begin: Begin, tell: &(impl Fn(News) + Send + Sync)) -> News {
        let mut patience = PATIENCE.iter();
        let mut result = match begin {
            Begin::Send => self.send(tell).await,
            Begin::Ask => self.again(tell).await,
        };
        loop {
            let why = match result {
                Ok(ended) => return News::Told(ended),
                Err(FleetError::Superseded { term, .. }) => return News::Superseded(term),
                Err(FleetError::Busy { operation, goal, .. }) => {
                    return News::Busy { operation, goal };
                }
                Err(FleetError::Refused { why, .. }) => return News::Told(refused(why)),
                Err(FleetError::Stranger { why, .. } | FleetError::Distrusted { why, .. }) => {
                    return News::Lost(why);
                }
                Err(FleetError::Silent { why, .. }) => why,
            };
            let Some(wait) = patience.next() else { return News::Lost(why) };
            tell(News::Broken(why));
            tokio::time::sleep(*wait).await;
            result = self.again(tell).await;
        }
    }

    /// Attaches to the operation, or learns that it ended, or sends it once more.
    async fn again(&self, tell: &(impl Fn(News) + Send + Sync)) -> Result<Event, FleetError> {
        let fleet = &self.orders.fleet;
        let facts = fleet.describe(self.node, None).await?;
        match facts.under_way {
            Some(under_way) if under_way.operation == self.order.operation => {}
            Some(other) => {
                let (node, operation, goal) = (self.node.clone(), other.operation, other.goal);
                return Err(FleetError::Busy { node, operation, goal });
            }
            None => {
                let goals = std::slice::from_ref(&self.order.goal);
                let findings = fleet.check(self.node, goals).await?;
                if let Some(Finding::Satisfied) = findings.first() {
                    return Ok(Event::Ended { finding: Finding::Satisfied, failure: None });
                }
            }
        }
        self.send(tell).await
    }

    /// Passes on every event but the last, which it returns.
    async fn send(&self, tell: &(impl Fn(News) + Send + Sync)) -> Result<Event, FleetError> {
        let (events, mut told) = unbounded_channel();
        let mut lines = Lines::new(self.orders.redactor.clone());
        let pass_on = async {
            let mut last = None;
            while let Some(event) = told.recv().await {
                match lines.event(event) {
                    ended @ Event::Ended { .. } => last = Some(ended),
                    event @ (Event::Started { .. } | Event::Activity(_) | Event::Output { .. }) => {
                        tell(News::Told(event));
                    }
                }
            }
            last
        };
        let ensure = self.orders.fleet.ensure(self.node, self.order.clone(), events);
        let (sent, last) = tokio::join!(ensure, pass_on);
        match (last, sent) {
            (Some(ended), _) => Ok(ended),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => {
                let why = "it closed the connection before the end".to_owned();
                Err(FleetError::Silent { node: self.node.clone(), why })
            }
        }
    }
}

fn refused(why: String) -> Event {
    let causes = vec![format!("the order was not carried out: {why}")];
    let failure = Failure { causes, ..Failure::default() };
    Event::Ended { finding: Finding::Unknown { why }, failure: Some(failure) }
}
