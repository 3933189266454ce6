//! TLS for nodes that wait to be claimed, where the coordinator dials. The node serves with a key of the
//! moment, which says nothing of it: its claim does, signed by its token over this very connection. The
//! coordinator shows a chain that ends in the root that the token pins.

use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName as Subject, Error, ServerConfig,
    SignatureScheme,
};
use tonic::transport::Channel;

use super::acceptor::ChannelBinding;
use super::certificate::{KeyDigest, Leaf, Usage};
use super::channel::{dial, over};
use super::credentials::{Credentials, pem_of, roots};
use super::error::TrustError;
use super::identity::Who;
use super::tls::{provider, server, without_resumption};
use super::verifier::tls13_only;
use crate::secret::Secret;

/// For a node that waits: speaks with the coordinator whose root has this key and with nobody else.
pub fn unclaimed_server_config(pin: KeyDigest) -> Result<ServerConfig, TrustError> {
    let key = KeyPair::generate().map_err(TrustError::Issue)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let certificate = params.self_signed(&key).map_err(TrustError::Issue)?;
    let credentials = Credentials {
        chain_pem: pem_of(certificate.der()),
        key_pem: Secret::new(key.serialize_pem()),
        peer_roots_pem: String::new(),
    };
    server(&credentials, Arc::new(PinnedCoordinator { pin }))
}

/// A channel to a node that waits, over one connection. Who answers is not known before its claim was
/// checked against the binding: send nothing that a stranger must not see.
pub async fn unclaimed_channel(
    address: &str,
    claimer: &Credentials,
) -> Result<(Channel, ChannelBinding), TrustError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TrustError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_auth_cert(claimer.chain()?, claimer.key()?)
        .map_err(TrustError::Tls)?;
    let name = "unclaimed.quorate.internal".to_owned();
    let stream = dial(address, address, name, without_resumption(config)).await?;
    let (_, tls) = stream.get_ref().get_ref();
    let binding = ChannelBinding::of(tls).map_err(TrustError::Tls)?;
    Ok((over(stream), binding))
}

/// Takes the coordinator of one root, no other root being loaded.
#[derive(Debug)]
struct PinnedCoordinator {
    pin: KeyDigest,
}

impl ClientCertVerifier for PinnedCoordinator {
    fn root_hint_subjects(&self) -> &[Subject] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let is_pinned = |root: &&CertificateDer<'_>| {
            KeyDigest::of_certificate(root).is_ok_and(|key| key == self.pin)
        };
        let root = intermediates.iter().find(is_pinned);
        let root = root.ok_or_else(|| TrustError::OtherCoordinator.into_rustls())?;
        let roots = roots(&[root.clone().into_owned()]).map_err(TrustError::into_rustls)?;
        let chain = WebPkiClientVerifier::builder_with_provider(roots.into(), provider()).build();
        let chain = chain.map_err(|error| Error::General(error.to_string()))?;
        let verified = chain.verify_client_cert(end_entity, intermediates, now)?;
        let leaf = Leaf::read(end_entity).map_err(TrustError::into_rustls)?;
        if leaf.identity.who == Who::Coordinator && leaf.usage == Usage::Client {
            return Ok(verified);
        }
        let (identity, wanted) = (leaf.identity, "coordinator");
        Err(TrustError::NotEntitled { identity, wanted }.into_rustls())
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
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Takes whoever answers, if it holds the key of the certificate that it shows.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
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
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
