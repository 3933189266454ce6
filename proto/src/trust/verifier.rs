//! Which certificates are believed. Every check that TLS makes of a peer ends here.
//!
//! Beyond the chain, that is: exactly one identity, the whole set of uses, the site, and for orders
//! the lifetime. What DNS names a certificate carries is not looked at; the identity decides.
//!
//! [`ClientVerifier`] judges those who dial, [`ServerVerifier`] those who are dialled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};

use super::certificate::{KeyDigest, Leaf, Seen, Usage};
use super::error::TrustError;
use super::identity::{SiteId, Who};
use super::pem::{certificates, roots};
use super::policy::Policy;
use crate::id::NodeName;

/// A day, and what clocks and backdating may add.
const MAX_ORDER_LIFETIME_S: i64 = 24 * 3600 + 600;

/// Whom an agent lets in.
#[derive(Debug)]
pub(super) enum Admitted {
    /// Those operators whom the policy takes.
    Operators { policy: Arc<Policy>, chain: Arc<dyn ClientCertVerifier> },
    /// The coordinator whose root has this key, no other root being loaded.
    Coordinator(KeyDigest),
}

impl Admitted {
    pub(super) fn operators(policy: Arc<Policy>) -> Result<Self, TrustError> {
        let found = certificates(&policy.bundle().operator_roots_pem(), "the root")?;
        let chain = chain_of_clients(roots(&found)?).map_err(TrustError::Tls)?;
        Ok(Self::Operators { policy, chain })
    }
}

/// For an agent.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) admitted: Admitted,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.admitted {
            Admitted::Operators { chain, .. } => chain.root_hint_subjects(),
            Admitted::Coordinator(_) => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let (verified, entitled) = match &self.admitted {
            Admitted::Operators { policy, chain } => {
                let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
                (verified, Leaf::read(end_entity).and_then(|leaf| operator(policy, leaf)))
            }
            Admitted::Coordinator(pin) => {
                let chain = chain_of_clients(pinned(intermediates, *pin)?)?;
                let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
                (verified, coordinator(end_entity, Usage::Client))
            }
        };
        entitled.map_err(TrustError::into_rustls)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn operator(policy: &Policy, leaf: Leaf) -> Result<(), TrustError> {
    let seen = Seen::of(&leaf);
    let Leaf { identity, usage, lifetime_s, .. } = leaf;
    policy.check(&identity, &seen, SystemTime::now())?;
    if !matches!(identity.who, Who::Operator { .. }) || usage != Usage::Client {
        return Err(TrustError::NotEntitled { identity, wanted: "operator" });
    }
    if lifetime_s > MAX_ORDER_LIFETIME_S {
        return Err(TrustError::Lifetime { identity });
    }
    Ok(())
}

fn coordinator(end_entity: &CertificateDer<'_>, as_what: Usage) -> Result<(), TrustError> {
    let Leaf { identity, usage, .. } = Leaf::read(end_entity)?;
    if identity.who == Who::Coordinator && usage == as_what {
        return Ok(());
    }
    Err(TrustError::NotEntitled { identity, wanted: "coordinator" })
}

/// The one root of a chain that is believed: the one whose key was told beforehand.
fn pinned(rest: &[CertificateDer<'_>], pin: KeyDigest) -> Result<RootCertStore, Error> {
    let is_pinned =
        |root: &&CertificateDer<'_>| KeyDigest::of_certificate(root).is_ok_and(|key| key == pin);
    let root = rest.iter().find(is_pinned);
    let root = root.ok_or_else(|| TrustError::OtherCoordinator.into_rustls())?;
    roots(&[root.clone().into_owned()]).map_err(TrustError::into_rustls)
}

fn chain_of_clients(roots: RootCertStore) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let chain = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build();
    chain.map_err(|error| Error::General(error.to_string()))
}

/// By which keys a node is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeKeys {
    /// It shows one of these; `None` where they are not known here, and the root alone decides.
    pub known: Option<BTreeSet<KeyDigest>>,
    /// The certificate of a key that is known may have ended: the key is proof enough to give the node
    /// another.
    pub ended_too: bool,
}

impl NodeKeys {
    /// This key and no other.
    pub fn only(key: KeyDigest) -> Self {
        Self { known: Some(BTreeSet::from([key])), ended_too: false }
    }

    /// The moment at which a certificate must hold.
    fn moment(&self, end_entity: &CertificateDer<'_>, now: UnixTime) -> UnixTime {
        if self.known.is_none() || !self.ended_too {
            return now;
        }
        let end = Leaf::read(end_entity).ok().and_then(|leaf| u64::try_from(leaf.not_after).ok());
        let end = end.map(|end| UnixTime::since_unix_epoch(Duration::from_secs(end)));
        end.filter(|end| end.as_secs() < now.as_secs()).unwrap_or(now)
    }
}

/// Whom a client means to reach.
#[derive(Debug)]
pub(super) enum Expected {
    /// One node of a site, whose root is known.
    Node { site: SiteId, node: NodeName, roots: RootCertStore, keys: NodeKeys },
    /// The coordinator whose root has this key. Which site that is, its certificate tells.
    Pinned(KeyDigest),
    /// Whoever answers, if it holds the key of the certificate that it shows.
    Anybody,
}

/// For those who dial.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    pub(super) expected: Expected,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        match &self.expected {
            Expected::Node { site, node, roots, keys } => {
                let signed = signed_by(end_entity, rest, roots, keys.moment(end_entity, now));
                let key = node_of_site(end_entity, signed, *site, node)?;
                if keys.known.as_ref().is_some_and(|known| !known.contains(&key)) {
                    return Err(TrustError::OtherKey { node: node.clone() }.into_rustls());
                }
                Ok(())
            }
            Expected::Pinned(pin) => {
                signed_by(end_entity, rest, &pinned(rest, *pin)?, now)?;
                coordinator(end_entity, Usage::Server).map_err(TrustError::into_rustls)
            }
            Expected::Anybody => Ok(()),
        }
    }
}

/// Says in our own words whom we met instead, also where the chain did not hold: there the name is
/// a claim, good enough to tell a person where to look.
fn node_of_site(
    end_entity: &CertificateDer<'_>,
    signed: Result<(), Error>,
    site: SiteId,
    node: &NodeName,
) -> Result<KeyDigest, Error> {
    let expired = |error: &Error| {
        use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
        matches!(
            error,
            Error::InvalidCertificate(
                Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
            )
        )
    };
    let leaf = Leaf::read(end_entity).map_err(TrustError::into_rustls)?;
    let (identity, usage, key) = (leaf.identity, leaf.usage, leaf.key);
    if identity.site != site {
        let other = TrustError::OtherSite { expected: site, found: identity.site };
        return Err(other.into_rustls());
    }
    match signed {
        Err(error) if expired(&error) => return Err(error),
        Err(_) => return Err(TrustError::OtherRoot { claimed: identity }.into_rustls()),
        Ok(()) => {}
    }
    if !matches!(&identity.who, Who::Node(name) if name == node) {
        let other = TrustError::OtherNode { expected: node.clone(), found: identity };
        return Err(other.into_rustls());
    }
    if usage != Usage::Both {
        return Err(TrustError::NotEntitled { identity, wanted: "node" }.into_rustls());
    }
    Ok(key)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Named wherever it is needed, so that nothing depends on a default of the process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether the chain leads to one of the roots and holds now, as a server's.
pub(super) fn chain_of_server(
    end_entity: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    roots: &RootCertStore,
) -> Result<(), Error> {
    signed_by(end_entity, rest, roots, UnixTime::now())
}

fn signed_by(
    end_entity: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), Error> {
    let leaf = ParsedCertificate::try_from(end_entity)?;
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&leaf, roots, rest, now, algorithms)
}

fn tls13_only() -> Error {
    PeerIncompatible::Tls12NotOfferedOrEnabled.into()
}
