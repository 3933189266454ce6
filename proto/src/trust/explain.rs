//! What a failed call says about the peer: does nobody answer, does somebody else, or is it the
//! peer's own answer?

use std::error::Error;
use std::io;

use tonic::Status;

use super::error::{TrustError, causes};

/// What is known of the peer after a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contact {
    /// The peer itself gave this status.
    Answered,
    /// Nobody answers, or no longer: what the peer does is not known.
    Silent { why: String },
    /// Somebody answers whom we do not trust, or who does not trust us.
    Stranger { why: String },
}

/// Reads the cause of a failed call.
pub fn explain(status: &Status) -> Contact {
    // A status that came over the wire has no cause on this side.
    let Some(source) = status.source() else { return Contact::Answered };
    if let Some(reason) = TrustError::within(source) {
        return of_trust(reason);
    }
    match causes(source).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(error) => Contact::Stranger { why: of_tls(error) },
        None => Contact::Silent { why: innermost(source) },
    }
}

fn of_trust(reason: &TrustError) -> Contact {
    match reason {
        // Who reads it knows already that nobody answers.
        TrustError::Unreachable { address, source } => {
            Contact::Silent { why: format!("{address}: {source}") }
        }
        TrustError::Stalled { .. } => Contact::Silent { why: reason.to_string() },
        TrustError::Handshake { source, .. } => {
            match causes(source).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
                Some(error) => Contact::Stranger { why: of_tls(error) },
                None => Contact::Silent { why: format!("{reason}: {}", innermost(reason)) },
            }
        }
        TrustError::OtherSite { .. }
        | TrustError::OtherNode { .. }
        | TrustError::OtherRoot { .. }
        | TrustError::OtherCoordinator
        | TrustError::NotEntitled { .. }
        | TrustError::NotTaken { .. }
        | TrustError::OtherKey { .. }
        | TrustError::Lifetime { .. }
        | TrustError::Nameless(_) => Contact::Stranger { why: reason.to_string() },
        // Our own side: nothing was asked of the peer.
        TrustError::Pem { .. }
        | TrustError::Bundle(_)
        | TrustError::KeyMismatch(_)
        | TrustError::KeysUnread { .. }
        | TrustError::Issue(_)
        | TrustError::Request(_)
        | TrustError::Tls(_)
        | TrustError::Random => Contact::Silent { why: reason.to_string() },
    }
}

/// In words that say where to look; the library's own words for the rest.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's lists are open and long")]
fn of_tls(error: &rustls::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};
    let advice = if let Tls::AlertReceived(alert) = error {
        match *alert {
            Alert::CertificateExpired => {
                "the peer finds our certificate expired; compare the clocks"
            }
            Alert::UnknownCA | Alert::CertificateUnknown | Alert::DecryptError => {
                "the peer does not accept our certificate; if it is enrolled with another site, \
                 remove its identity and enrol it with a token of `quorate node token`"
            }
            _ => "check that it is a quorate agent which answers there",
        }
    } else if let Tls::InvalidCertificate(reason) = error {
        match reason {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "compare the clocks; a node whose certificate has ended gets another by `quorate \
                 trust renew --recover NODE`"
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "compare the clocks"
            }
            _ => "check which site the node is enrolled with",
        }
    } else {
        "check that it is a quorate agent which answers there"
    };
    format!("{error}; {advice}")
}

/// The library explains an end without a farewell to programmers. To people it is a peer that died or
/// was cut off.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut io = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    if io.any(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
        return "the connection ended in the middle".to_owned();
    }
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_dies_is_told_of_in_a_persons_words() {
        let died = io::Error::new(io::ErrorKind::UnexpectedEof, "without sending TLS close_notify");
        assert_eq!(innermost(&died), "the connection ended in the middle");
        let reset = io::Error::new(io::ErrorKind::ConnectionReset, "connection reset by peer");
        assert_eq!(innermost(&reset), "connection reset by peer");
    }
}
