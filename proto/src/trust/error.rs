//! Why a peer is not trusted, or why our own side cannot prove who it is.

use std::error::Error;
use std::io;
use std::sync::Arc;

use super::identity::{Identity, IdentityError, SiteId};
use crate::id::NodeName;

/// Trust could not be established.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TrustError {
    /// The peer belongs to another site.
    #[error(
        "the peer belongs to site {found}, this is site {expected}; check the address, or run \
         `quorate-agent enrol` there with a token of this site after removing the old identity"
    )]
    OtherSite { expected: SiteId, found: SiteId },
    /// A node of this site, but not the one that was dialled.
    #[error(
        "the peer is {}, not node {expected}; check which address belongs to which node in the \
         specification", .found.who
    )]
    OtherNode { expected: NodeName, found: Identity },
    /// It calls itself a party of this site, and the site's root did not sign that.
    #[error(
        "the peer calls itself {claimed}, but the root of this site did not sign its certificate; \
         if the site's roots were changed, credentials from before serve no more, and a node that \
         was left behind is enrolled again"
    )]
    OtherRoot { claimed: Identity },
    /// Where the token pins one coordinator, another one answers.
    #[error(
        "the coordinator that answers is not the one that made the token; check the address, or \
         get a token with `quorate node token` from this one"
    )]
    OtherCoordinator,
    /// A certificate that is right as such and of no use here.
    #[error("{identity} may not act as a {wanted} here; its certificate is not made for that")]
    NotEntitled { identity: Identity, wanted: &'static str },
    /// A certificate that is right as such, and that the newest trust bundle does not let in.
    #[error("{} is not taken: {why}", .identity.who)]
    NotTaken { identity: Identity, why: &'static str },
    /// A node shows a key that is not the one it was given last.
    #[error(
        "who answers as {node} shows a key that is not its newest: a clone (an old snapshot, or a \
         copy of its disk), or a key that was denied; it is in quarantine and gets no orders. Take \
         a copy off the network; if it is the node itself, run `quorate-agent reset --identity` \
         there and enrol it with a token of `quorate node token {node}`, or, if the state folder was \
         restored from a backup since, run `quorate trust renew --restored {node}`"
    )]
    OtherKey { node: NodeName },
    /// Which keys a node may show is not known at this moment.
    #[error("which keys {node} may show cannot be read in the site's store: {why}")]
    KeysUnread { node: NodeName, why: String },
    /// Orders are taken from certificates of short life alone.
    #[error(
        "the certificate of {identity} is valid for more than a day; orders need a shorter one"
    )]
    Lifetime { identity: Identity },
    /// The certificate names nobody.
    #[error("the peer's certificate names no party of quorate")]
    Nameless(#[source] IdentityError),

    /// A trust bundle is not one that may be taken.
    #[error("the trust bundle is not taken")]
    Bundle(#[source] BundleError),

    /// No connection.
    #[error("{address} does not answer")]
    Unreachable {
        address: String,
        #[source]
        source: Arc<io::Error>,
    },
    /// A connection on which nobody completed a handshake.
    #[error("{address} did not complete a TLS handshake within {seconds} s")]
    Stalled { address: String, seconds: u64 },
    /// A handshake that one side broke off.
    #[error("the TLS handshake with {address} failed")]
    Handshake {
        address: String,
        #[source]
        source: Arc<io::Error>,
    },

    /// Key, certificate or root of our own cannot be read.
    #[error("{what} cannot be read as PEM; restore it from a backup")]
    Pem { what: &'static str },
    /// Key and certificate of our own do not belong together.
    #[error("{0} is not the key of its certificate; restore both from one backup")]
    KeyMismatch(&'static str),
    /// A certificate could not be made.
    #[error("making a certificate")]
    Issue(#[source] rcgen::Error),
    /// The request for a certificate is not one that may be granted.
    #[error("the certificate request is refused: {0}")]
    Request(&'static str),
    /// The TLS library refuses our own key, chain or roots.
    #[error("preparing TLS")]
    Tls(#[source] rustls::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl TrustError {
    /// The reason within an error of the libraries between the handshake and the caller.
    pub fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|cause| cause.downcast_ref())
    }

    /// As the TLS library carries it: it hands this on as the cause of the failed handshake.
    pub(super) fn into_rustls(self) -> rustls::Error {
        rustls::CertificateError::Other(rustls::OtherError(Arc::new(self))).into()
    }
}

/// A bundle is not taken; what is kept stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("it cannot be read as a trust bundle of this version")]
    Form,
    #[error("it is larger than {bytes} bytes, or denies more than {entries}")]
    Size { bytes: usize, entries: usize },
    #[error("it is of site {0}, another one")]
    Site(SiteId),
    #[error("it names no root")]
    NoRoots,
    #[error("its generation is {found}, and generation {kept} is kept")]
    Generation { kept: u64, found: u64 },
    #[error("no root that is trusted here signed it")]
    Signature,
    #[error("it drops the root that is trusted first, and that root did not sign it")]
    Dropped,
}

/// An error and its causes, outermost first, those included that `source()` passes over:
/// `io::Error` hides the error it wraps, and `rustls::Error` the verifier's reason.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return Some(wrapped);
    }
    if let Some(shared) = error.downcast_ref::<Arc<io::Error>>() {
        return Some(shared.as_ref());
    }
    if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
        error.downcast_ref()
    {
        return Some(other.0.as_ref());
    }
    error.source()
}
