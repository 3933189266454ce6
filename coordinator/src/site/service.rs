//! The enrolment call. Every refusal reads the same, so that nothing can be learned by trying.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quorate_proto::trust::enrol::enrol_server::Enrol;
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{ChannelBinding, Peer};
use quorate_proto::{hex, in_one_line};
use tokio::sync::mpsc::UnboundedSender;
use tonic::{Request, Response, Status};

use super::attempts::Attempts;
use super::claim::{Answer, Refusal, answer};
use super::enrolment::Tiding;
use super::{Site, SiteError};
use crate::store::Store;

/// All that a claimant is told.
const REFUSED: &str = "the claim is refused; the coordinator's log says why. Make a new token \
                       there with `quorate node token`";

/// Not a matter of the token, and so no secret: whoever asks too often learns that.
const TOO_MANY: &str = "too many claims within a minute; ask again after one";

/// A person needs minutes; an answer this much later is soon enough.
const ASK_AGAIN: Duration = Duration::from_secs(5);

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
    tidings: UnboundedSender<Tiding>,
}

struct State {
    store: Store,
    attempts: Attempts,
}

impl EnrolService {
    /// Tells of each node that waits for approval, each time it asks, or was granted its identity.
    pub fn new(
        site: Arc<Site>,
        clock: Clock,
        tidings: UnboundedSender<Tiding>,
    ) -> Result<Self, SiteError> {
        let state = State { store: site.store()?, attempts: Attempts::default() };
        Ok(Self(Arc::new(Inner { site, state: Mutex::new(state), clock, tidings })))
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
        let (tiding, reply) = match answer(store, &self.0.site, claim, source, binding, now)? {
            Answer::Granted(node, granted) => {
                tracing::info!(%node, %source, "enrolled");
                (Tiding::Enrolled(node), granted.into())
            }
            Answer::Waits(node) => (Tiding::Waits { node, source }, ClaimReply::waiting(ASK_AGAIN)),
        };
        // A large site comes at once, and from behind one address.
        attempts.forgive(source);
        // Nobody listens once the service is being shut down.
        self.0.tidings.send(tiding).ok();
        Ok(reply)
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
                if matches!(refusal, Refusal::TooMany) {
                    return Err(Status::resource_exhausted(TOO_MANY));
                }
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
