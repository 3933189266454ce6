//! Calls in, typed values out, refusals to statuses. Decides nothing but who may call.

use std::error::Error;
use std::future::ready;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use quorate_proto::trust::{Peer, Right};
use quorate_proto::wire::node::node_server::{Node, NodeServer};
use quorate_proto::wire::{MESSAGE_BYTES, Order, WireError, node};
use quorate_proto::{NodeName, Redactor, Refusal, in_one_line};
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::caller::Caller;
use crate::executor::{Away, Call, Execute, FrameError, Replies, Reply, Request as Asked};

/// The service of this executor and this node, for those whom the access lets in.
pub fn service(
    executor: Arc<dyn Execute>,
    node: NodeName,
    access: Access,
) -> NodeServer<NodeService> {
    NodeServer::new(NodeService { executor, node, access })
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES)
}

/// The calls of node.proto.
pub struct NodeService {
    executor: Arc<dyn Execute>,
    node: NodeName,
    access: Access,
}

impl NodeService {
    /// Who calls, where it is one who may. TLS has let in operators of this site alone; each call
    /// asks again, and for its own right.
    fn authorise<T>(&self, request: &Request<T>, right: Right) -> Result<Caller, Status> {
        self.access.allow(request.extensions().get::<Peer>(), right)
    }

    /// A stream outlives the call that was allowed.
    fn while_taken<T: Send + 'static>(
        &self,
        peer: Option<Peer>,
        stream: BoxStream<'static, Result<T, Status>>,
    ) -> BoxStream<'static, Result<T, Status>> {
        until_refused(stream, self.access.clone().refused(peer).boxed())
    }

    /// The first reply to a call, and the others.
    async fn ask(&self, caller: Caller, call: Call) -> Result<(Reply, Replies), Status> {
        let mut replies = self.executor.call(Asked { caller, call });
        match replies.next().await {
            Some(Ok(Reply::Refused(refusal))) => Err(Status::from(&refusal)),
            Some(Ok(Reply::Failed { why })) => Err(Status::internal(why)),
            Some(Ok(reply)) => Ok((reply, replies)),
            Some(Err(away)) => Err(unavailable(&away)),
            None => Err(unavailable(&Away::Closed)),
        }
    }
}

const NO_KUBECONFIG: &str =
    "this node has no admin kubeconfig: it is not, or not yet, a control plane";

#[tonic::async_trait]
impl Node for NodeService {
    type EnsureStream = BoxStream<'static, Result<node::Event, Status>>;
    type AuditStream = BoxStream<'static, Result<node::AuditReply, Status>>;

    async fn describe(
        &self,
        request: Request<node::DescribeRequest>,
    ) -> Result<Response<node::DescribeReply>, Status> {
        let caller = self.authorise(&request, Right::Describe)?;
        if request.get_ref().claim.is_some() {
            self.authorise(&request, Right::Claim)?;
        }
        let claim = request.into_inner().into();
        let call = Call::Describe { node: self.node.clone(), claim };
        match self.ask(caller, call).await? {
            (Reply::Facts(facts), _) => Ok(Response::new((&*facts).into())),
            (other, _) => Err(beside(&other)),
        }
    }

    async fn check(
        &self,
        request: Request<node::CheckRequest>,
    ) -> Result<Response<node::CheckReply>, Status> {
        let caller = self.authorise(&request, Right::Check)?;
        let call = Call::Check { goals: request.into_inner().try_into().map_err(|e| invalid(&e))? };
        match self.ask(caller, call).await? {
            (Reply::Findings(findings), _) => Ok(Response::new(findings.into())),
            (other, _) => Err(beside(&other)),
        }
    }

    async fn ensure(
        &self,
        request: Request<node::EnsureRequest>,
    ) -> Result<Response<Self::EnsureStream>, Status> {
        // Who may give no order at all does not learn which goals this agent understands.
        self.authorise(&request, Right::Ensure)?;
        let peer = request.extensions().get::<Peer>().cloned();
        let order: Order = request.into_inner().try_into().map_err(|e| invalid(&e))?;
        let caller = self.access.allow(peer.as_ref(), Right::of_order(&order.goal))?;
        let call = Call::Ensure(Box::new(order));
        let (first, others) = self.ask(caller, call).await?;
        let events = stream::iter([Ok(first)]).chain(others).map(|reply| match reply {
            Ok(Reply::Event(event)) => Ok(event.into()),
            Ok(other) => Err(beside(&other)),
            Err(away) => Err(unavailable(&away)),
        });
        Ok(Response::new(self.while_taken(peer, events.boxed())))
    }

    async fn kubeconfig(
        &self,
        request: Request<node::KubeconfigRequest>,
    ) -> Result<Response<node::KubeconfigReply>, Status> {
        let caller = self.authorise(&request, Right::Kubeconfig)?;
        match self.ask(caller, Call::Kubeconfig).await? {
            (Reply::Kubeconfig(Some(kubeconfig)), _) => Ok(Response::new((&kubeconfig).into())),
            (Reply::Kubeconfig(None), _) => Err(Status::not_found(NO_KUBECONFIG)),
            (other, _) => Err(beside(&other)),
        }
    }

    async fn audit(
        &self,
        request: Request<node::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let caller = self.authorise(&request, Right::Audit)?;
        let peer = request.extensions().get::<Peer>().cloned();
        let call = Call::Audit { after: request.get_ref().after };
        let (first, others) = self.ask(caller, call).await?;
        let replies = stream::iter([Ok(first)]).chain(others);
        let replies = replies.filter_map(|reply| {
            ready(match reply {
                Ok(Reply::AuditLines(lines)) => Some(Ok(node::AuditReply { lines })),
                Ok(Reply::AuditEnd) => None,
                Ok(Reply::Failed { why }) => Some(Err(Status::internal(why))),
                Ok(other) => Some(Err(beside(&other))),
                Err(away) => Some(Err(unavailable(&away))),
            })
        });
        Ok(Response::new(self.while_taken(peer, replies.boxed())))
    }

    async fn cancel(
        &self,
        request: Request<node::CancelRequest>,
    ) -> Result<Response<node::CancelReply>, Status> {
        let caller = self.authorise(&request, Right::Cancel)?;
        let call = Call::Cancel(request.into_inner().try_into().map_err(|e| invalid(&e))?);
        match self.ask(caller, call).await? {
            (Reply::Cancelled, _) => Ok(Response::new(node::CancelReply {})),
            (other, _) => Err(beside(&other)),
        }
    }
}

/// The stream, until its end or until who follows it is refused.
pub(crate) fn until_refused<T: Send + 'static>(
    stream: BoxStream<'static, Result<T, Status>>,
    refused: BoxFuture<'static, Status>,
) -> BoxStream<'static, Result<T, Status>> {
    let open = stream::unfold(Some((stream, refused)), |open| async {
        let (mut stream, mut refused) = open?;
        tokio::select! {
            biased;
            status = &mut refused => Some((Err(status), None)),
            item = stream.next() => item.map(|item| (item, Some((stream, refused)))),
        }
    });
    open.boxed()
}

fn invalid(error: &WireError) -> Status {
    Status::from(&Refusal::Invalid(clean(error)))
}

fn unavailable(away: &Away) -> Status {
    if let Away::Broken(error @ FrameError::Oversize(_)) = away {
        return Status::from(&Refusal::Invalid(clean(error)));
    }
    Status::unavailable(clean(away))
}

/// What was not understood may be a secret in the wrong place.
fn clean(error: &(dyn Error + 'static)) -> String {
    Redactor::default().text(&in_one_line(error))
}

/// Not shown: it may hold a secret.
fn beside(_reply: &Reply) -> Status {
    Status::internal(
        "the agent's executor answered something else than it was asked; see that both are of one \
         version: systemctl restart quorate-executor quorate-agent",
    )
}

#[cfg(test)]
mod tests;
