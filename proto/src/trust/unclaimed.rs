//! TLS for nodes that wait to be claimed, where the coordinator dials. The node serves with a key of the
//! moment, which says nothing of it: its claim does, signed by its token over this very connection. The
//! coordinator shows a chain that ends in the root that the token pins.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use tonic::transport::Channel;

use super::certificate::KeyDigest;
use super::channel::{dial, over};
use super::credentials::Credentials;
use super::error::TrustError;
use super::peer::ChannelBinding;
use super::pem::pem_of;
use super::tls::{claimer_config, coordinator_server_config};
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
    coordinator_server_config(&credentials, pin)
}

/// A channel to a node that waits, over one connection. Who answers is not known before its claim was
/// checked against the binding: send nothing that a stranger must not see.
pub async fn unclaimed_channel(
    address: &str,
    claimer: &Credentials,
) -> Result<(Channel, ChannelBinding), TrustError> {
    let name = "unclaimed.quorate.internal".to_owned();
    let stream = dial(address, address, name, claimer_config(claimer)?).await?;
    let (_, tls) = stream.get_ref().get_ref();
    let binding = ChannelBinding::of(tls).map_err(TrustError::Tls)?;
    Ok((over(stream), binding))
}
