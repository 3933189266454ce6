//! Calls in, typed values out, refusals to statuses. Decides nothing but who may call.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use quorate_proto::trust::{Peer, SiteId, Who};
use quorate_proto::wire::node::node_server::{Node, NodeServer};
use quorate_proto::wire::{Cancellation, MESSAGE_BYTES, Order, WireError, node};
use quorate_proto::{Event, Goal, Redactor, Refusal, Term, in_one_line};
use tonic::{Request, Response, Status};

use crate::audit::Caller;
use crate::host::HostError;
use crate::worker::{NotTaken, Worker};

/// The service of this worker, for operators of this site.
pub fn service(worker: Arc<Worker>, site: SiteId) -> NodeServer<NodeService> {
    NodeServer::new(NodeService { worker, site })
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// The calls of node.proto.
pub struct NodeService {
    worker: Arc<Worker>,
    site: SiteId,
}

impl NodeService {
    /// TLS has let in operators of this site alone; each call asks again.
    fn authorise<T>(&self, request: Request<T>) -> Result<(Caller, T), Status> {
        let peer = request.extensions().get::<Peer>();
        let peer = peer.ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))?;
        let identity = peer.identity.as_ref();
        let identity = identity.ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))?;
        if identity.site != self.site {
            return Err(Status::permission_denied(OTHER_SITE));
        }
        match &identity.who {
            Who::Operator(operator) => {
                let caller = Caller { operator: operator.clone(), address: peer.address };
                Ok((caller, request.into_inner()))
            }
            Who::Node(_) | Who::Coordinator => Err(Status::permission_denied(NO_OPERATOR)),
        }
    }
}

const NO_CERTIFICATE: &str = "orders need an operator's certificate";
const OTHER_SITE: &str = "this node is enrolled with another site; run quorate where its site is";
const NO_KUBECONFIG: &str =
    "this node has no admin kubeconfig: it is not, or not yet, a control plane";
const NO_OPERATOR: &str = "only an operator gives orders";

#[tonic::async_trait]
impl Node for NodeService {
    type EnsureStream = BoxStream<'static, Result<node::Event, Status>>;
    type AuditStream = BoxStream<'static, Result<node::AuditReply, Status>>;

    async fn describe(
        &self,
        request: Request<node::DescribeRequest>,
    ) -> Result<Response<node::DescribeReply>, Status> {
        let (caller, request) = self.authorise(request)?;
        if let Some(term) = Option::<Term>::from(request) {
            self.worker.claim(&caller, &term).await.map_err(|error| not_taken(&error))?;
        }
        let facts = self.worker.describe().await.map_err(|error| host_status(&error))?;
        Ok(Response::new((&facts).into()))
    }

    async fn check(
        &self,
        request: Request<node::CheckRequest>,
    ) -> Result<Response<node::CheckReply>, Status> {
        let goals: Vec<Goal> = self.authorise(request)?.1.try_into().map_err(|e| invalid(&e))?;
        Ok(Response::new(self.worker.check(&goals).await.into()))
    }

    async fn ensure(
        &self,
        request: Request<node::EnsureRequest>,
    ) -> Result<Response<Self::EnsureStream>, Status> {
        let (caller, request) = self.authorise(request)?;
        let order = match Order::try_from(request) {
            Ok(order) => order,
            Err(error) => {
                self.worker.not_understood(&caller, &in_one_line(&error)).await;
                return Err(invalid(&error));
            }
        };
        let events = self.worker.ensure(&caller, order).await.map_err(|e| not_taken(&e))?;
        Ok(Response::new(to_wire(events).boxed()))
    }

    async fn kubeconfig(
        &self,
        request: Request<node::KubeconfigRequest>,
    ) -> Result<Response<node::KubeconfigReply>, Status> {
        let (caller, _) = self.authorise(request)?;
        let kubeconfig = self.worker.kubeconfig(&caller).await.map_err(|e| not_taken(&e))?;
        let kubeconfig = kubeconfig.ok_or_else(|| Status::not_found(NO_KUBECONFIG))?;
        Ok(Response::new((&kubeconfig).into()))
    }

    async fn audit(
        &self,
        request: Request<node::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let (_, request) = self.authorise(request)?;
        let segments = self.worker.audit(request.after).await;
        let replies = segments.map(|lines| match lines {
            Ok(lines) => Ok(node::AuditReply { lines }),
            Err(error) => Err(host_status(&error)),
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn cancel(
        &self,
        request: Request<node::CancelRequest>,
    ) -> Result<Response<node::CancelReply>, Status> {
        let (caller, request) = self.authorise(request)?;
        let Cancellation { operation, term } = request.try_into().map_err(|e| invalid(&e))?;
        self.worker.cancel(&caller, &operation, &term).await.map_err(|e| not_taken(&e))?;
        Ok(Response::new(node::CancelReply {}))
    }
}

fn to_wire(
    events: impl Stream<Item = Event> + Send + 'static,
) -> impl Stream<Item = Result<node::Event, Status>> + Send + 'static {
    events.map(|event| Ok(event.into()))
}

fn invalid(error: &WireError) -> Status {
    // What was not understood may be a secret in the wrong place.
    Status::from(&Refusal::Invalid(Redactor::default().text(&in_one_line(error))))
}

fn not_taken(error: &NotTaken) -> Status {
    match error {
        NotTaken::Refused(refusal) => refusal.into(),
        NotTaken::Ledger(error) => Status::internal(in_one_line(error)),
        NotTaken::Audit(error) => Status::internal(in_one_line(error)),
        NotTaken::Host(error) => host_status(error),
    }
}

fn host_status(error: &HostError) -> Status {
    Status::internal(Redactor::default().text(&in_one_line(error)))
}

#[cfg(test)]
mod tests;
