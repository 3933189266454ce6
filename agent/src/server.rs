//! Calls in, typed values out, refusals to statuses. Decides nothing but who may call.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use quorate_proto::trust::{Peer, Right};
use quorate_proto::wire::node::node_server::{Node, NodeServer};
use quorate_proto::wire::{Cancellation, MESSAGE_BYTES, Order, WireError, node};
use quorate_proto::{Event, Goal, Refusal, Term, in_one_line};
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::host::HostError;
use crate::worker::{NotTaken, Worker};

/// The service of this worker, for those whom the access lets in.
pub fn service(worker: Arc<Worker>, access: Access) -> NodeServer<NodeService> {
    NodeServer::new(NodeService { worker, access })
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// The calls of node.proto.
pub struct NodeService {
    worker: Arc<Worker>,
    access: Access,
}

impl NodeService {
    /// TLS has let in operators of this site alone; each call asks again, and for its own right.
    fn authorise<T>(&self, request: &Request<T>, right: Right) -> Result<(), Status> {
        self.access.allow(request.extensions().get::<Peer>(), right)
    }
}

const NO_KUBECONFIG: &str =
    "this node has no admin kubeconfig: it is not, or not yet, a control plane";

#[tonic::async_trait]
impl Node for NodeService {
    type EnsureStream = BoxStream<'static, Result<node::Event, Status>>;

    async fn describe(
        &self,
        request: Request<node::DescribeRequest>,
    ) -> Result<Response<node::DescribeReply>, Status> {
        self.authorise(&request, Right::Describe)?;
        if request.get_ref().claim.is_some() {
            self.authorise(&request, Right::Claim)?;
        }
        let claim: Option<Term> = request.into_inner().into();
        if let Some(term) = claim {
            self.worker.claim(&term).await.map_err(|error| not_taken(&error))?;
        }
        let facts = self.worker.describe().await.map_err(|error| host_status(&error))?;
        Ok(Response::new((&facts).into()))
    }

    async fn check(
        &self,
        request: Request<node::CheckRequest>,
    ) -> Result<Response<node::CheckReply>, Status> {
        self.authorise(&request, Right::Check)?;
        let goals: Vec<Goal> = request.into_inner().try_into().map_err(|e| invalid(&e))?;
        Ok(Response::new(self.worker.check(&goals).await.into()))
    }

    async fn ensure(
        &self,
        request: Request<node::EnsureRequest>,
    ) -> Result<Response<Self::EnsureStream>, Status> {
        // Who may give no order at all does not learn which goals this agent understands.
        self.authorise(&request, Right::Ensure)?;
        let peer = request.extensions().get::<Peer>().cloned();
        let order: Order = request.into_inner().try_into().map_err(|e| invalid(&e))?;
        self.access.allow(peer.as_ref(), Right::of_order(&order.goal))?;
        let events = self.worker.ensure(order).await.map_err(|e| not_taken(&e))?;
        let refused = self.access.clone().refused(peer).boxed();
        Ok(Response::new(to_wire(events.boxed(), refused).boxed()))
    }

    async fn kubeconfig(
        &self,
        request: Request<node::KubeconfigRequest>,
    ) -> Result<Response<node::KubeconfigReply>, Status> {
        self.authorise(&request, Right::Kubeconfig)?;
        let kubeconfig = self.worker.kubeconfig().await.map_err(|error| host_status(&error))?;
        let kubeconfig = kubeconfig.ok_or_else(|| Status::not_found(NO_KUBECONFIG))?;
        Ok(Response::new((&kubeconfig).into()))
    }

    async fn cancel(
        &self,
        request: Request<node::CancelRequest>,
    ) -> Result<Response<node::CancelReply>, Status> {
        self.authorise(&request, Right::Cancel)?;
        let Cancellation { operation, term } =
            request.into_inner().try_into().map_err(|e| invalid(&e))?;
        self.worker.cancel(&operation, &term).await.map_err(|e| not_taken(&e))?;
        Ok(Response::new(node::CancelReply {}))
    }
}

/// The events, until their end or until who follows them is refused.
pub(crate) fn to_wire(
    events: BoxStream<'static, Event>,
    refused: BoxFuture<'static, Status>,
) -> impl Stream<Item = Result<node::Event, Status>> + Send + 'static {
    stream::unfold(Some((events, refused)), |open| async {
        let (mut events, mut refused) = open?;
        tokio::select! {
            biased;
            status = &mut refused => Some((Err(status), None)),
            event = events.next() => event.map(|event| (Ok(event.into()), Some((events, refused)))),
        }
    })
}

fn invalid(error: &WireError) -> Status {
    Status::from(&Refusal::Invalid(in_one_line(error)))
}

fn not_taken(error: &NotTaken) -> Status {
    match error {
        NotTaken::Refused(refusal) => refusal.into(),
        NotTaken::Ledger(error) => Status::internal(in_one_line(error)),
    }
}

fn host_status(error: &HostError) -> Status {
    Status::internal(in_one_line(error))
}

#[cfg(test)]
mod tests;
