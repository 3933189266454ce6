//! Who may make which call. TLS has let in operators of this site alone; here each call asks again.
//!
//! Only the verified certificate counts: nothing that a request carries says who its sender is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quorate_proto::trust::{Peer, Policy, Right, SiteId, TrustBundle, Who};
use tokio::sync::watch;
use tonic::Status;

use crate::caller::Caller;

/// Whom this node serves, by the newest trust bundle.
#[derive(Clone)]
pub struct Access {
    policy: Arc<ArcSwap<Policy>>,
    changed: watch::Receiver<u64>,
}

impl Access {
    /// By the policy that is newest at each call; `changed` tells of a newer one.
    pub fn new(policy: Arc<ArcSwap<Policy>>, changed: watch::Receiver<u64>) -> Self {
        Self { policy, changed }
    }

    /// Of a site of which nobody is denied.
    pub fn of_site(site: SiteId) -> Self {
        let bundle = TrustBundle::of_enrolment(site, String::new(), String::new());
        let (_, changed) = watch::channel(0);
        Self::new(Arc::new(ArcSwap::from_pointee(Policy::new(bundle))), changed)
    }

    /// Ends when the peer is not taken any more, with what it is told. For streams, which outlive
    /// the call that was allowed.
    pub async fn refused(mut self, peer: Option<Peer>) -> Status {
        loop {
            if let Err(status) = self.taken(peer.as_ref()) {
                return status;
            }
            if self.changed.changed().await.is_err() {
                // Nothing will change any more.
                return std::future::pending().await;
            }
        }
    }

    fn taken(&self, peer: Option<&Peer>) -> Result<(), Status> {
        let taken = peer.map_or(Ok(()), |peer| self.policy.load().still_takes(peer));
        taken.map_err(|error| Status::unauthenticated(error.to_string()))
    }

    /// Who calls, where the peer may make the call. The refusal says which role it takes and who
    /// gives it.
    pub fn allow(&self, peer: Option<&Peer>, right: Right) -> Result<Caller, Status> {
        let known = peer.and_then(|peer| Some((peer.address, peer.identity.as_ref()?)));
        let (address, identity) = known.ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))?;
        if identity.site != self.policy.load().bundle().site {
            return Err(Status::permission_denied(OTHER_SITE));
        }
        self.taken(peer)?;
        match &identity.who {
            Who::Operator { name, role } if *role >= right.least() => {
                Ok(Caller { operator: name.clone(), address })
            }
            Who::Operator { name, role } => Err(Status::permission_denied(format!(
                "{right} takes the role {least}, and {name} is {held} here; whoever has the \
                 site's state folder gives it with `quorate operator issue {name} --role {least}`",
                least = right.least(),
                held = role.with_article()
            ))),
            Who::Node(_) | Who::Coordinator => Err(Status::permission_denied(NO_OPERATOR)),
        }
    }
}

const NO_CERTIFICATE: &str = "orders need an operator's certificate";
const OTHER_SITE: &str = "this node is enrolled with another site; run quorate where its site is";
const NO_OPERATOR: &str = "only an operator gives orders";

#[cfg(test)]
mod tests;
