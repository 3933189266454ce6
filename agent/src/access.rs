//! Who may make which call. TLS has let in operators of this site alone; here each call asks again.
//!
//! Only the verified certificate counts: nothing that a request carries says who its sender is.

use quorate_proto::trust::{Call, Peer, SiteId, Who};
use tonic::Status;

use crate::executor::Caller;

/// Whom this node serves.
#[derive(Debug, Clone)]
pub struct Access {
    site: SiteId,
}

impl Access {
    /// Of a node of this site.
    pub fn of_site(site: SiteId) -> Self {
        Self { site }
    }

    /// Who calls, where the peer may make the call. The refusal says which role it takes and who
    /// gives it.
    pub fn allow(&self, peer: Option<&Peer>, call: Call) -> Result<Caller, Status> {
        let peer = peer.and_then(|peer| Some((peer.address, peer.identity.as_ref()?)));
        let (address, identity) = peer.ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))?;
        if identity.site != self.site {
            return Err(Status::permission_denied(OTHER_SITE));
        }
        match &identity.who {
            Who::Operator { name, role } if *role >= call.least() => {
                Ok(Caller { operator: name.clone(), address })
            }
            Who::Operator { name, role } => Err(Status::permission_denied(format!(
                "{call} takes the role {least}, and {name} is {held} here; whoever has the \
                 site's state folder gives it with `quorate operator issue {name} --role {least}`",
                least = call.least(),
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
