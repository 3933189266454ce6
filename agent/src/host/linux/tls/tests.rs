//! Who answers over TLS: this cluster, a stranger, nobody.

use std::net::SocketAddr;

use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use super::*;

struct Site {
    ca: CertifiedIssuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

/// An authority, and a certificate of it that serves and asks alike.
fn site(name: &str) -> Site {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
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
