//! The enrolment call. Every refusal reads the same, so that nothing can be learned by trying.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use quorate_proto::trust::enrol::enrol_server::Enrol;
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{ChannelBinding, Peer};
use quorate_proto::{NodeName, hex, in_one_line};
use tokio::sync::mpsc::UnboundedSender;
use tonic::{Request, Response, Status};

use super::attempts::Attempts;
use super::claim::{Refusal, grant};
use super::{Site, SiteError};
use crate::store::Store;

/// All that a claimant is told.
const REFUSED: &str = "the claim is refused; the coordinator's log says why. Make a new token \
                       there with `quorate node token`";

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Serves enrolment of one site.
#[derive(Clone)]
pub struct EnrolService(Arc<Inner>);

struct Inner {
    site: Arc<Site>,
    /// One claim at a time: they take milliseconds, most of it the disk's.
    state: Mutex<State>,
    clock: Clock,
    enrolled: UnboundedSender<NodeName>,
}

struct State {
    store: Store,
    attempts: Attempts,
}

impl EnrolService {
    /// Tells `enrolled` of each node that was granted its identity.
    pub fn new(
        site: Arc<Site>,
        clock: Clock,
        enrolled: UnboundedSender<NodeName>,
    ) -> Result<Self, SiteError> {
        let state = State { store: site.store()?, attempts: Attempts::default() };
        Ok(Self(Arc::new(Inner { site, state: Mutex::new(state), clock, enrolled })))
    }

    fn claim(
        &self,
        source: IpAddr,
        claim: &ClaimRequest,
        binding: &ChannelBinding,
    ) -> Result<ClaimReply, Refusal> {
        let now = (self.0.clock)();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { store, attempts } = &mut *state;
        if !attempts.admit(source, now) {
            return Err(Refusal::TooMany);
        }
        let (node, mut granted) = grant(store, &self.0.site.roots, claim, binding, now)?;
        // The token is the node's for as long as it asks: it can ask again.
        let newest = self.0.site.bundle().map_err(|error| Refusal::Bundle(Box::new(error)))?;
        granted.bundle = newest.1.to_json();
        tracing::info!(%node, %source, "enrolled");
        // Nobody listens once the service is being shut down.
        self.0.enrolled.send(node).ok();
        Ok(granted.into())
    }
}

#[tonic::async_trait]
impl Enrol for EnrolService {
    async fn claim(&self, request: Request<ClaimRequest>) -> Result<Response<ClaimReply>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.ok_or_else(|| Status::internal("the connection is unknown"))?;
        let source = peer.address.ip();
        let claim = request.into_inner();
        let token = hex(&claim.token_id);
        let service = self.clone();
        let work = move || service.claim(source, &claim, &peer.binding);
        let answer = tokio::task::spawn_blocking(work).await;
        match answer.map_err(|_lost| Status::internal("the claim was not examined"))? {
            Ok(reply) => Ok(Response::new(reply)),
            Err(refusal) => {
                let reason = in_one_line(&refusal);
                // The claimant chose the token's name: a long one is cut.
                let token: String = token.chars().take(20).collect();
                tracing::warn!(%source, token, reason, "claim refused");
                Err(Status::permission_denied(REFUSED))
            }
        }
    }
}

impl fmt::Debug for EnrolService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolService").field("site", &self.0.site.id()).finish_non_exhaustive()
    }
}
