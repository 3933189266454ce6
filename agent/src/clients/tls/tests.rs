//! Who answers over TLS: this cluster, a stranger, nobody.

use std::net::SocketAddr;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::*;
use crate::host::linux::LinuxHost;
use crate::host::{ApiMethod, ApiRequest, ApiServer, KubeApi as _};

struct Site {
    ca: CertifiedIssuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

/// An authority, and a certificate of it that serves and asks alike.
fn site(name: &str) -> Site {
    site_with(name, |_| {})
}

fn site_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Site {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    change(&mut leaf);
    let leaf = leaf.signed_by(&key, &ca).unwrap();
    Site { ca, certificate_pem: leaf.pem(), key_pem: key.serialize_pem() }
}

async fn serve(site: &Site) -> (SocketAddr, impl Future<Output = ()> + use<>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(site.certificate_pem.as_bytes());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_slice(site.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok();
    };
    (address, accept)
}

async fn attempt(server: &Site, believed: &Site) -> Result<(), HostError> {
    let (address, accept) = serve(server).await;
    let config = client_config(&Authority {
        ca_pem: believed.ca.pem().as_bytes(),
        certificate_pem: believed.certificate_pem.as_bytes(),
        key_pem: believed.key_pem.as_bytes(),
    });
    let address = address.to_string();
    let connecting = connect(&address, Arc::new(config.unwrap()), "the API");
    let (connected, ()) = tokio::join!(connecting, accept);
    connected.map(drop)
}

#[tokio::test]
async fn a_server_of_this_cluster_is_believed() {
    let ours = site("kubernetes");
    attempt(&ours, &ours).await.unwrap();
}

#[tokio::test]
async fn a_server_of_another_cluster_is_a_stranger_and_not_silence() {
    // Every kubeadm calls its authority "kubernetes": only the key tells two clusters apart.
    let error = attempt(&site("kubernetes"), &site("kubernetes")).await.unwrap_err();
    assert!(
        matches!(&error, HostError::Refused(why) if why.contains("not this cluster")),
        "{error}"
    );
}

#[tokio::test]
async fn who_has_no_authority_yet_tells_somebody_from_nobody() {
    let (address, accept) = serve(&site("kubernetes")).await;
    let nobody_believed = || Arc::new(anonymous_config(b"").unwrap());
    let address = address.to_string();
    let connecting = connect(&address, nobody_believed(), "the API");
    let (connected, ()) = tokio::join!(connecting, accept);
    assert!(matches!(connected, Err(HostError::Refused(_))));
    let connected = connect(&address, nobody_believed(), "the API").await;
    assert!(matches!(connected, Err(HostError::Silent { .. })), "the listener is closed");
}

#[tokio::test]
async fn a_certificate_of_this_cluster_that_must_be_renewed_is_no_stranger() {
    let expired = site_with("kubernetes", |leaf| leaf.not_after = rcgen::date_time_ymd(2000, 1, 1));
    let nameless = site_with("kubernetes", |leaf| leaf.subject_alt_names.clear());
    for ours in [expired, nameless] {
        let error = attempt(&ours, &ours).await.unwrap_err();
        assert!(matches!(error, HostError::Silent { .. }), "{error}");
    }
}

/// Whatever this machine holds of a cluster, it holds nothing of that one.
#[tokio::test]
async fn a_stranger_at_the_endpoint_is_known_before_there_is_an_administrator() {
    let (address, accept) = serve(&site("kubernetes")).await;
    let at = ApiServer::Endpoint(address.to_string());
    let request = ApiRequest { method: ApiMethod::Get, path: "/readyz".to_owned(), at };
    let host = LinuxHost::new();
    let (answer, ()) = tokio::join!(host.api(&request), accept);
    assert!(matches!(answer, Err(HostError::Refused(_))), "{answer:?}");
}

#[tokio::test]
async fn nobody_there_is_silence() {
    let ours = site("kubernetes");
    let (address, accept) = serve(&ours).await;
    drop(accept);
    let config = client_config(&Authority {
        ca_pem: ours.ca.pem().as_bytes(),
        certificate_pem: ours.certificate_pem.as_bytes(),
        key_pem: ours.key_pem.as_bytes(),
    });
    let connected = connect(&address.to_string(), Arc::new(config.unwrap()), "the API").await;
    assert!(matches!(connected, Err(HostError::Silent { .. })));
}
