//! TLS to the API servers and to etcd, each by the certificates that kubeadm left on this node.

use std::sync::Arc;

use quorate_proto::Secret;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::host::HostError;

/// Whom to believe, and who we are: PEM texts.
pub(super) struct Authority<'a> {
    pub ca_pem: &'a [u8],
    pub certificate_pem: &'a [u8],
    pub key_pem: &'a [u8],
}

/// The content of a file that kubeadm must have left.
pub(super) async fn file(path: &str) -> Result<Vec<u8>, HostError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| HostError::Io { attempt: format!("reading {path}"), source })
}

/// The same for a private key.
pub(super) async fn secret_file(path: &str) -> Result<Secret, HostError> {
    let text = tokio::fs::read_to_string(path).await;
    text.map(Secret::new)
        .map_err(|source| HostError::Io { attempt: format!("reading {path}"), source })
}

/// TLS 1.3 with these certificates: every API server and etcd that quorate meets speaks it.
pub(super) fn client_config(authority: &Authority<'_>) -> Result<ClientConfig, HostError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(authority.certificate_pem).collect();
    let chain = chain.map_err(|error| unusable("client certificate", &error))?;
    let key = PrivateKeyDer::from_pem_slice(authority.key_pem)
        .map_err(|error| unusable("client key", &error))?;
    believing(authority.ca_pem)?
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable("client certificate", &error))
}

/// The same without a certificate of our own. Where there is no CA, nobody is believed: that is
/// enough to tell somebody from nobody.
pub(super) fn anonymous_config(ca_pem: &[u8]) -> Result<ClientConfig, HostError> {
    Ok(believing(ca_pem)?.with_no_client_auth())
}

fn believing(ca_pem: &[u8]) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, HostError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem) {
        let certificate = certificate.map_err(|error| unusable("CA", &error))?;
        roots.add(certificate).map_err(|error| unusable("CA", &error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13]);
    Ok(versions.map_err(|error| unusable("provider", &error))?.with_root_certificates(roots))
}

fn unusable(what: &str, error: &dyn std::fmt::Display) -> HostError {
    HostError::Refused(format!("the {what} that kubeadm left is not usable: {error}"))
}

/// Connects to `HOST:PORT`. A server that proves another authority is [`HostError::Refused`]; any
/// other trouble is [`HostError::Silent`].
pub(super) async fn connect(
    server: &str,
    config: Arc<ClientConfig>,
    service: &str,
) -> Result<TlsStream<TcpStream>, HostError> {
    let (host, _) = server.rsplit_once(':').unwrap_or((server, ""));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| HostError::silent(service, error))?;
    let tcp =
        TcpStream::connect(server).await.map_err(|error| HostError::silent(service, error))?;
    tcp.set_nodelay(true).map_err(|error| HostError::silent(service, error))?;
    let connected = TlsConnector::from(config).connect(name, tcp).await;
    connected.map_err(|error| match certificate_error(&error) {
        Some(why) => HostError::Refused(format!(
            "who answers as {service} is not this cluster: {why}. See who holds that address, and \
             correct it there or in the specification"
        )),
        None => HostError::silent(service, error),
    })
}

fn certificate_error(error: &std::io::Error) -> Option<String> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(reason) = tls else { return None };
    // A certificate of the right authority may have expired or lack a name: that can be mended.
    let mendable = matches!(
        reason,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. }
    );
    (!mendable).then(|| tls.to_string())
}

#[cfg(test)]
mod tests;
