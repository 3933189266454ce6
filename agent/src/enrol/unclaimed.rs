//! Enrolment of a node that cannot reach the coordinator: it listens, and the coordinator claims it.
//!
//! Until then it serves two calls and nothing else, and these to nobody but the coordinator whose root
//! the token pins: TLS sees to that before a call is read.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate_proto::in_one_line;
use quorate_proto::trust::enrol::unclaimed_server::{Unclaimed, UnclaimedServer};
use quorate_proto::trust::enrol::{AnswerReply, ClaimReply, ClaimRequest, OfferRequest};
use quorate_proto::trust::{
    Bounds, EnrolCode, GrantedIdentity, JoinToken, NodeKey, Peer, incoming, prove,
    unclaimed_server_config,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use super::{EnrolError, checked, keep, prepare, settle, show_code};
use crate::host::Host;
use crate::identity::NodeIdentity;

/// Three certificates have some thousand bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Of one connection: the coordinator asks for the offer, and answers it at once.
const BOUNDS: Bounds = Bounds {
    streams: 4,
    calls: 1,
    call: Duration::from_secs(30),
    connection: Duration::from_mins(1),
};
/// For the last answer to reach the coordinator.
const FAREWELL: Duration = Duration::from_secs(5);

/// Where the coordinator is to dial.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, EnrolError> {
    TcpListener::bind(address).await.map_err(|source| EnrolError::Listen { address, source })
}

/// Waits until the coordinator has claimed this node, and keeps the identity that it gives.
pub async fn wait(
    host: &dyn Host,
    listener: TcpListener,
    token: &JoinToken,
    folder: &str,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<NodeIdentity, EnrolError> {
    let (pending, key) = prepare(host, token, folder).await?;
    let machine = host.machine().await.map_err(EnrolError::Machine)?;
    let code = EnrolCode::of(&key.key_digest());
    let config = unclaimed_server_config(token.pin()).map_err(EnrolError::Prepare)?;
    let (granted, mut grants) = mpsc::channel(1);
    // Plain data: it cannot fail to serialise.
    let facts_json = serde_json::to_string(&machine).unwrap_or_default();
    let claimant = Claimant { token: token.clone(), key, facts_json, granted };
    if let Ok(address) = listener.local_addr() {
        tell(&format!(
            "waits at {address} to be claimed; at the coordinator, run: quorate node claim NAME \
             --address {address}"
        ));
    }
    show_code(host, &code, tell).await;
    let (end, ended) = oneshot::channel::<()>();
    let ended = async { ended.await.unwrap_or_default() };
    let service = UnclaimedServer::new(claimant).max_decoding_message_size(MAX_MESSAGE);
    let incoming = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let server = BOUNDS.server().add_service(service);
    let mut serving = pin!(server.serve_with_incoming_shutdown(incoming, ended));
    let result = tokio::select! {
        served = &mut serving => {
            // It ends by itself only if it cannot go on.
            served.map_err(EnrolError::Serve)?;
            return Err(EnrolError::Lost(Status::unavailable("the listener ended")));
        }
        Some((identity, kept)) = grants.recv() => {
            let result = keep(host, folder, &pending, &identity).await;
            kept.send(result.as_ref().map(drop).map_err(|error| in_one_line(error))).ok();
            result.map(|()| identity)
        }
    };
    end.send(()).ok();
    tokio::time::timeout(FAREWELL, serving).await.ok();
    host.remove(settle::CODE_FILE).await.ok();
    result
}

/// Tells whether the identity was kept, or why not.
type Kept = oneshot::Sender<Result<(), String>>;

/// This node, as the coordinator meets it.
struct Claimant {
    token: JoinToken,
    key: NodeKey,
    facts_json: String,
    granted: mpsc::Sender<(NodeIdentity, Kept)>,
}

#[tonic::async_trait]
impl Unclaimed for Claimant {
    async fn offer(
        &self,
        request: Request<OfferRequest>,
    ) -> Result<Response<ClaimRequest>, Status> {
        let peer = peer(&request)?;
        let Self { token, key, facts_json, .. } = self;
        let claim = key
            .request()
            .and_then(|request| prove(token, &peer.binding, request, facts_json.clone()));
        claim.map(Response::new).map_err(|error| Status::internal(in_one_line(&error)))
    }

    async fn answer(&self, request: Request<ClaimReply>) -> Result<Response<AnswerReply>, Status> {
        let site = peer(&request)?.identity.map(|identity| identity.site);
        let site = site.ok_or_else(|| Status::unauthenticated("the coordinator is not known"))?;
        let reply = request.into_inner();
        if reply.waits().is_some() {
            // The code is on the screen since the beginning.
            return Ok(Response::new(AnswerReply {}));
        }
        let granted = GrantedIdentity::from(reply);
        let identity = checked(granted, &self.token, &self.key, site);
        let identity = identity.map_err(|error| Status::invalid_argument(in_one_line(&error)))?;
        let (kept, told) = oneshot::channel();
        let ended = || Status::unavailable("this node is not waiting any more");
        self.granted.send((identity, kept)).await.map_err(|_full| ended())?;
        match told.await.map_err(|_gone| ended())? {
            Ok(()) => Ok(Response::new(AnswerReply {})),
            Err(why) => Err(Status::aborted(why)),
        }
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| Status::internal("the connection is unknown"))
}
