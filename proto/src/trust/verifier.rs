//! Which certificates are believed. Every check that TLS makes of a peer ends here.
//!
//! Beyond the chain, that is: exactly one identity, the whole set of uses, the site, and for orders
//! the lifetime. What DNS names a certificate carries is not looked at; the identity decides.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    RootCertStore, SignatureScheme,
};

use super::certificate::{KeyDigest, Leaf, Usage};
use super::credentials::roots;
use super::error::TrustError;
use super::identity::{SiteId, Who};
use super::policy::{Policy, Seen};
use super::tls::provider;
use crate::id::NodeName;

/// A day, and what clocks and backdating may add.
const MAX_ORDER_LIFETIME_S: i64 = 24 * 3600 + 600;

/// For an agent: takes operators of its own site.
#[derive(Debug)]
pub(super) struct OperatorVerifier {
    policy: Arc<Policy>,
    chain: Arc<dyn ClientCertVerifier>,
}

impl OperatorVerifier {
    pub(super) fn new(policy: Arc<Policy>, operators: RootCertStore) -> Result<Self, TrustError> {
        let chain = WebPkiClientVerifier::builder_with_provider(operators.into(), provider())
            .build()
            .map_err(|error| TrustError::Tls(Error::General(error.to_string())))?;
        Ok(Self { policy, chain })
    }

    fn check(&self, leaf: Leaf) -> Result<(), TrustError> {
        let seen = Seen::of(&leaf);
        let Leaf { identity, usage, lifetime_s, .. } = leaf;
        self.policy.check(&identity, &seen, SystemTime::now())?;
        if !matches!(identity.who, Who::Operator { .. }) || usage != Usage::Client {
            return Err(TrustError::NotEntitled { identity, wanted: "operator" });
        }
        if lifetime_s > MAX_ORDER_LIFETIME_S {
            return Err(TrustError::Lifetime { identity });
        }
        Ok(())
    }
}

impl ClientCertVerifier for OperatorVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        Leaf::read(end_entity)
            .and_then(|leaf| self.check(leaf))
            .map_err(TrustError::into_rustls)?;
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
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Whom a client means to reach.
#[derive(Debug)]
pub(super) enum Expected {
    /// One node of a site, whose root is known.
    Node {
        site: SiteId,
        node: NodeName,
        roots: RootCertStore,
        /// The keys that the node may have; `None` where they are not known here.
        keys: Option<BTreeSet<KeyDigest>>,
    },
    /// The coordinator whose root has this key. Which site that is, its certificate tells.
    Pinned(KeyDigest),
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
                let signed = signed_by(end_entity, rest, roots, now);
                let key = node_of_site(end_entity, signed, *site, node)?;
                if keys.as_ref().is_some_and(|keys| !keys.contains(&key)) {
                    return Err(TrustError::OtherKey { node: node.clone() }.into_rustls());
                }
                Ok(())
            }
            Expected::Pinned(pin) => {
                let is_pinned = |root: &&CertificateDer<'_>| {
                    KeyDigest::of_certificate(root).is_ok_and(|key| key == *pin)
                };
                let root = rest.iter().find(is_pinned);
                let root = root.ok_or_else(|| TrustError::OtherCoordinator.into_rustls())?;
                let root = roots(&[root.clone().into_owned()]).map_err(TrustError::into_rustls)?;
                signed_by(end_entity, rest, &root, now)?;
                let leaf = Leaf::read(end_entity).map_err(TrustError::into_rustls)?;
                let right = leaf.identity.who == Who::Coordinator && leaf.usage == Usage::Server;
                let identity = leaf.identity;
                let wrong = TrustError::NotEntitled { identity, wanted: "coordinator" };
                if right { Ok(()) } else { Err(wrong.into_rustls()) }
            }
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
