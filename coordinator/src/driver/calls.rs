//! Makes the calls that a machine asks for, and passes on what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_proto::redact::Lines;
use quorate_proto::{Goal, JoinMaterial, NodeName, Redactor, Term, wire};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinSet};

use super::observe::describe;
use crate::fleet::{Fleet, FleetError};
use crate::run::machine::{Call, Goals, Input, Material, Order};

/// The calls of a run. Dropped with it: what runs at the nodes continues.
pub(super) struct Calls {
    orders: Arc<Orders>,
    tell: UnboundedSender<Input>,
    told: UnboundedReceiver<Input>,
    tasks: JoinSet<()>,
    streams: BTreeMap<Call, AbortHandle>,
}

/// To which nodes orders go, and with which secrets.
struct Orders {
    fleet: Arc<dyn Fleet>,
    material: JoinMaterial,
    /// The agents hide it already; what they tell is stored here, so it is not left to them.
    redactor: Redactor,
    /// Any of them can tell the cluster's certificate authority.
    control_planes: Vec<NodeName>,
    ca_pem: OnceCell<String>,
}

impl Calls {
    pub(super) fn new(
        fleet: Arc<dyn Fleet>,
        material: JoinMaterial,
        control_planes: Vec<NodeName>,
    ) -> Self {
        let (redactor, ca_pem) = (Redactor::of(&material), OnceCell::new());
        let orders = Orders { fleet, material, redactor, control_planes, ca_pem };
        let (tell, told) = unbounded_channel();
        let (tasks, streams) = (JoinSet::new(), BTreeMap::new());
        Self { orders: Arc::new(orders), tell, told, tasks, streams }
    }

    /// Asks a node what it is and holds.
    pub(super) fn describe(&mut self, call: Call, node: NodeName, claim: Option<Term>) {
        let (fleet, tell) = (Arc::clone(&self.orders.fleet), self.tell.clone());
        self.spawn(async move {
            let answer = describe(&fleet, &node, claim.as_ref()).await;
            tell.send(Input::Described { call, answer }).ok();
        });
    }

    /// Asks a node whether goals hold.
    pub(super) fn check(&mut self, call: Call, node: NodeName, goals: &Goals) {
        let (fleet, tell) = (Arc::clone(&self.orders.fleet), self.tell.clone());
        let goals: Vec<Goal> = goals.steps().map(|step| step.goal.clone()).collect();
        self.spawn(async move {
            let answer = fleet.check(&node, &goals).await;
            tell.send(Input::Checked { call, answer }).ok();
        });
    }

    /// Sends an order, and listens to what the node tells of it.
    pub(super) fn send(&mut self, call: Call, order: Order) {
        let (orders, tell) = (Arc::clone(&self.orders), self.tell.clone());
        let stream = self.spawn(async move {
            let result = orders.send(call, order, &tell).await;
            tell.send(Input::Closed { call, result }).ok();
        });
        self.streams.insert(call, stream);
    }

    /// Stops listening to an order.
    pub(super) fn hang_up(&mut self, call: Call) {
        self.streams.remove(&call).iter().for_each(AbortHandle::abort);
    }

    /// What came of the calls, in the order in which it came.
    pub(super) async fn next(&mut self) -> Input {
        let input = self.told.recv().await;
        if let Some(Input::Closed { call, .. }) = &input {
            self.streams.remove(call);
        }
        while self.tasks.try_join_next().is_some() {}
        // This end holds a sender too, so the channel has no end.
        input.unwrap_or(Input::TimePassed)
    }

    /// Whether something came that was not taken yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.told.is_empty()
    }

    fn spawn(&mut self, call: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.tasks.spawn(call)
    }
}

impl Orders {
    async fn send(
        &self,
        call: Call,
        order: Order,
        tell: &UnboundedSender<Input>,
    ) -> Result<(), FleetError> {
        let node = order.step.node;
        let material = self.material(order.material, &node).await?;
        let Order { operation, term, goal, .. } = order;
        let order = wire::Order { operation, term, goal, material };
        let (events, mut told) = unbounded_channel();
        let mut lines = Lines::new(self.redactor.clone());
        let pass_on = async {
            while let Some(event) = told.recv().await {
                tell.send(Input::Told { call, event: lines.event(event) }).ok();
            }
        };
        let (sent, ()) = tokio::join!(self.fleet.ensure(&node, order, events), pass_on);
        sent
    }

    async fn material(
        &self,
        material: Material,
        node: &NodeName,
    ) -> Result<Option<JoinMaterial>, FleetError> {
        let ca_pem = match material {
            Material::None => return Ok(None),
            Material::Token => None,
            Material::TokenAndAuthority => Some(self.ca_pem(node).await?),
        };
        Ok(Some(JoinMaterial { ca_pem, ..self.material.clone() }))
    }

    /// The certificate authority of the cluster that was founded, asked for once.
    async fn ca_pem(&self, joining: &NodeName) -> Result<String, FleetError> {
        let ask = async || {
            for node in &self.control_planes {
                if let Ok(facts) = self.fleet.describe(node, None).await
                    && let Some(ca) = facts.kubernetes.ca
                {
                    return Ok(ca.pem);
                }
            }
            let why = "no control plane that answers can tell the cluster's certificate authority";
            Err(FleetError::Refused { node: joining.clone(), why: why.to_owned() })
        };
        self.ca_pem.get_or_try_init(ask).await.cloned()
    }
}
