//! Claims a node that cannot reach the coordinator: dials it, takes its claim, and answers it as one
//! that came to the listener.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use quorate_proto::NodeName;
use quorate_proto::trust::enrol::unclaimed_client::UnclaimedClient;
use quorate_proto::trust::enrol::{ClaimReply, OfferRequest};
use quorate_proto::trust::{TrustError, unclaimed_channel};
use tonic::{Request, Status};

use super::claim::{Answer, Refusal, answer};
use super::{Site, SiteError};
use crate::store::Approved;

/// Longest wait for an answer of the node; it has a disk to write to.
const ANSWER: Duration = Duration::from_secs(30);
/// What a node is told that waits; nobody is asked again in this way.
const LATER: Duration = Duration::from_secs(60);

/// The node was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimNodeError {
    #[error("using the site")]
    Site(#[from] SiteError),
    #[error(
        "reaching the node; see that `quorate-agent enrol --listen` runs there, with a token of this site"
    )]
    Reach(#[source] TrustError),
    #[error("the node at {address} did not answer; run the same command again")]
    Lost {
        address: SocketAddr,
        #[source]
        source: Status,
    },
    #[error("the node at {address} holds the token of {found}; nothing was granted")]
    OtherNode { address: SocketAddr, found: NodeName },
    #[error("the claim of the node is refused, because {0}")]
    Refused(String),
    #[error("the code is not that of the machine at {address}: {0:?}", .approved)]
    Code { address: SocketAddr, approved: Approved },
}

/// Whom and where, and what a person has read on its console.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub node: &'a NodeName,
    pub address: SocketAddr,
    /// The six words that it shows, where it needs approval.
    pub code: Option<&'a str>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedNode {
    /// The node has its identity.
    Enrolled,
    /// A person has to read its code first.
    Waits,
}

/// Dials a node that listens for it, and gives it the identity that its token is for.
pub async fn claim_node(
    site: &Site,
    target: Target<'_>,
    now: SystemTime,
) -> Result<ClaimedNode, ClaimNodeError> {
    let Target { node, address, code } = target;
    let claimer = site.roots.claimer(now).map_err(SiteError::Trust)?;
    let dialled = unclaimed_channel(&address.to_string(), &claimer).await;
    let (channel, binding) = dialled.map_err(ClaimNodeError::Reach)?;
    let lost = |source| ClaimNodeError::Lost { address, source };
    let mut client = UnclaimedClient::new(channel);
    let claim = client.offer(within(OfferRequest {})).await.map_err(lost)?.into_inner();

    let mut store = site.store()?;
    let token = claim.token().ok().map(|id| store.token(&id)).transpose();
    let token = token.map_err(SiteError::Store)?.flatten();
    if let Some(token) = token.filter(|token| token.node != *node) {
        return Err(ClaimNodeError::OtherNode { address, found: token.node });
    }
    let source: IpAddr = address.ip();
    let refused = |refusal: Refusal| ClaimNodeError::Refused(quorate_proto::in_one_line(&refusal));
    let examine =
        |store: &mut _| answer(store, site, &claim, source, &binding, now).map_err(refused);
    let mut said = examine(&mut store)?;
    if let (Answer::Waits(_), Some(code)) = (&said, code) {
        let approved = store.approve(node, code, now).map_err(SiteError::Store)?;
        if approved != Approved::Yes {
            return Err(ClaimNodeError::Code { address, approved });
        }
        said = examine(&mut store)?;
    }
    let (reply, claimed) = match said {
        Answer::Granted(_, granted) => (granted.into(), ClaimedNode::Enrolled),
        Answer::Waits(_) => (ClaimReply::waiting(LATER), ClaimedNode::Waits),
    };
    client.answer(within(reply)).await.map_err(lost)?;
    Ok(claimed)
}

fn within<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER);
    request
}
