//! TLS for each of the four ends. 1.3 only, HTTP/2 only, no session is ever resumed: a resumed one
//! would keep an identity alive past its change.

use std::sync::Arc;

use rustls::client::{Resumption, WantsClientCert};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, ServerConfig};

use super::bundle::TrustBundle;
use super::certificate::KeyDigest;
use super::credentials::Credentials;
use super::error::TrustError;
use super::identity::SiteId;
use super::policy::Policy;
use super::verifier::{Admitted, ClientVerifier, Expected, NodeKeys, ServerVerifier, provider};
use crate::id::NodeName;

/// The only protocol spoken over TLS here.
pub(super) const ALPN: &[u8] = b"h2";

/// For an agent that knows nothing but its enrolment: serves operators of its own site, nobody else.
pub fn server_config(credentials: &Credentials) -> Result<ServerConfig, TrustError> {
    let site = credentials.identity()?.site;
    let bundle = TrustBundle::of_enrolment(site, credentials.peer_roots_pem.clone(), String::new());
    server_config_with(credentials, &Arc::new(Policy::new(bundle)))
}

/// For an agent: serves those operators whom the policy takes.
pub fn server_config_with(
    credentials: &Credentials,
    policy: &Arc<Policy>,
) -> Result<ServerConfig, TrustError> {
    server_of(credentials, Admitted::operators(Arc::clone(policy))?)
}

/// For a node that waits to be claimed: serves the coordinator whose root has this key.
pub(super) fn coordinator_server_config(
    credentials: &Credentials,
    pin: KeyDigest,
) -> Result<ServerConfig, TrustError> {
    server_of(credentials, Admitted::Coordinator(pin))
}

fn server_of(credentials: &Credentials, admitted: Admitted) -> Result<ServerConfig, TrustError> {
    server(credentials, Arc::new(ClientVerifier { admitted, provider: provider() }))
}

/// For the coordinator's enrolment: nodes that come here have no certificate yet.
pub fn enrol_server_config(credentials: &Credentials) -> Result<ServerConfig, TrustError> {
    server(credentials, Arc::new(NoClientAuth))
}

/// For an operator who dials one node.
pub fn client_config(
    credentials: &Credentials,
    site: SiteId,
    node: &NodeName,
) -> Result<ClientConfig, TrustError> {
    client_config_of(credentials, site, node, NodeKeys::default())
}

/// As [`client_config`], for a node that is known by its keys.
pub(super) fn client_config_of(
    credentials: &Credentials,
    site: SiteId,
    node: &NodeName,
    keys: NodeKeys,
) -> Result<ClientConfig, TrustError> {
    let roots = credentials.peer_roots()?;
    known_client(credentials, Expected::Node { site, node: node.clone(), roots, keys })
}

/// For the coordinator, who dials a node that is not known yet.
pub(super) fn claimer_config(credentials: &Credentials) -> Result<ClientConfig, TrustError> {
    known_client(credentials, Expected::Anybody)
}

fn known_client(credentials: &Credentials, expected: Expected) -> Result<ClientConfig, TrustError> {
    let config = client(expected)?
        .with_client_auth_cert(credentials.chain()?, credentials.key()?)
        .map_err(TrustError::Tls)?;
    Ok(without_resumption(config))
}

/// For a node that enrols: believes the coordinator whose root has the pinned key, no other root
/// being loaded.
pub fn enrol_client_config(pin: KeyDigest) -> Result<ClientConfig, TrustError> {
    Ok(without_resumption(client(Expected::Pinned(pin))?.with_no_client_auth()))
}

fn server(
    credentials: &Credentials,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TrustError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TrustError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain()?, credentials.key()?)
        .map_err(TrustError::Tls)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

pub(super) fn client(
    expected: Expected,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TrustError> {
    let verifier = ServerVerifier { expected, provider: provider() };
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(TrustError::Tls)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
}

fn without_resumption(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config
}
