//! An agent to attack: the real service behind TLS on loopback, over a machine in memory; and certificates
//! for both ends that no code of the product would make or present.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate_agent::access::Access;
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::local::Local;
use quorate_agent::serve::BOUNDS;
use quorate_agent::server::service;
use quorate_agent::worker::Worker;
use quorate_proto::NodeName;
use quorate_proto::trust::{
    Credentials, NodeKey, OperatorName, Role, RootKeys, Roots, SigningRequest, SiteId,
    client_config, incoming, node_channel, server_config,
};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Channel;

use super::coordinator::{HOUR, name};

/// The node `cp-1` of a site, and all keys of the site.
pub(super) struct Agent {
    pub(super) keys: RootKeys,
    pub(super) roots: Roots,
    pub(super) host: Arc<FakeHost>,
    pub(super) address: SocketAddr,
    pub(super) now: SystemTime,
}

impl Agent {
    pub(super) async fn start() -> Self {
        let now = SystemTime::now();
        let keys = RootKeys::create(SiteId::random(), now).unwrap();
        let roots = keys.issue(now).unwrap();
        let host = Arc::new(FakeHost::bare());
        let config = server_config(&node(&roots, "cp-1", now)).unwrap();
        let address = serve(&roots, &host, config).await;
        Self { keys, roots, host, address, now }
    }

    /// The same node's service behind TLS of another kind.
    pub(super) async fn behind(&self, config: ServerConfig) -> SocketAddr {
        serve(&self.roots, &self.host, config).await
    }

    pub(super) fn operator(&self, role: Role) -> Credentials {
        self.roots.operator(&alice(), role, HOUR, self.now).unwrap()
    }

    pub(super) fn channel(&self, role: Role) -> Channel {
        let credentials = Arc::new(ArcSwap::from_pointee(self.operator(role)));
        node_channel(self.address, &cp_1(), &self.roots.site(), credentials).unwrap()
    }

    /// What an administrator's own program dials with.
    pub(super) fn client_config(&self) -> ClientConfig {
        client_config(&self.operator(Role::Admin), self.roots.site(), &cp_1()).unwrap()
    }

    /// A name of this site.
    pub(super) fn urn(&self, tail: &str) -> SanType {
        let site = self.roots.site();
        SanType::URI(format!("urn:quorate:site:{site}:{tail}").try_into().unwrap())
    }

    /// What an administrator's certificate says. Tests change it.
    pub(super) fn operator_params(&self) -> CertificateParams {
        let name = self.urn("operator:alice:role:admin");
        self.params(name, &[ExtendedKeyUsagePurpose::ClientAuth])
    }

    /// What the node's certificate says. Tests change it.
    pub(super) fn node_params(&self) -> CertificateParams {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.params(self.urn("node:cp-1"), &usages)
    }

    fn params(&self, name: SanType, usages: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = (self.now - HOUR).into();
        params.not_after = (self.now + HOUR).into();
        params.subject_alt_names = vec![name];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages.to_vec();
        params
    }

    /// The operators' issuing authority.
    pub(super) fn operators(&self) -> Signer {
        let pem = self.roots.to_pem();
        Signer::of(&pem.operators_issuing_pem, pem.operators_key_pem.expose())
    }

    /// The nodes' issuing authority.
    pub(super) fn nodes(&self) -> Signer {
        let pem = self.roots.to_pem();
        Signer::of(&pem.nodes_issuing_pem, pem.nodes_key_pem.expose())
    }

    /// The roots themselves, of the operators and of the nodes.
    pub(super) fn root_signers(&self) -> (Signer, Signer) {
        let (pem, (operators, nodes)) = (self.roots.to_pem(), self.keys.keys_pem());
        let operators = Signer::of(&pem.operators_pem, operators.expose());
        (operators, Signer::of(&pem.nodes_pem, nodes.expose()))
    }
}

/// Whoever can sign: its certificates up to the root, and its key.
pub(super) struct Signer {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
    issuer: Issuer<'static, KeyPair>,
}

impl Signer {
    /// A root of somebody else's.
    pub(super) fn stranger(params: CertificateParams) -> Self {
        let Presented { chain, key } = Presented::self_signed(&params);
        let pair = KeyPair::from_pem(&key.serialize_pem()).unwrap();
        Self { chain, key, issuer: Issuer::new(params, pair) }
    }

    fn of(pem: &str, key: &str) -> Self {
        let pair = || KeyPair::from_pem(key).unwrap();
        let issuer = Issuer::from_ca_cert_pem(pem, pair()).unwrap();
        Self { chain: chain(pem), key: pair(), issuer }
    }

    /// A certificate of these words for a new key, and the signer's own after it.
    pub(super) fn sign(&self, params: &CertificateParams) -> Presented {
        let (leaf, key) = self.leaf(params);
        Presented { chain: [vec![leaf], self.chain.clone()].concat(), key }
    }

    /// As one who may sign in turn.
    pub(super) fn delegate(&self, params: CertificateParams) -> Self {
        let (own, key) = self.leaf(&params);
        let pair = KeyPair::from_pem(&key.serialize_pem()).unwrap();
        let chain = [vec![own], self.chain.clone()].concat();
        Self { chain, key, issuer: Issuer::new(params, pair) }
    }

    fn leaf(&self, params: &CertificateParams) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (leaf.der().clone(), key)
    }

    /// Its own certificate as a leaf.
    pub(super) fn itself(&self) -> Presented {
        let key = KeyPair::from_pem(&self.key.serialize_pem()).unwrap();
        Presented { chain: self.chain.clone(), key }
    }
}

/// What one end shows of itself, whether our own code would read it or not.
pub(super) struct Presented {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: KeyPair,
}

impl Presented {
    /// What somebody's own code would show.
    pub(super) fn of(credentials: &Credentials) -> Self {
        let key = KeyPair::from_pem(credentials.key_pem.expose()).unwrap();
        Self { chain: chain(&credentials.chain_pem), key }
    }

    pub(super) fn self_signed(params: &CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { chain: vec![params.self_signed(&key).unwrap().der().clone()], key }
    }

    pub(super) fn at(&self, mut config: ClientConfig) -> ClientConfig {
        config.client_auth_cert_resolver = Arc::new(self.resolver());
        config
    }

    pub(super) fn behind(&self, mut config: ServerConfig) -> ServerConfig {
        config.cert_resolver = Arc::new(self.resolver());
        config
    }

    fn resolver(&self) -> SingleCertAndKey {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = default_provider().key_provider.load_private_key(key).unwrap();
        CertifiedKey::new(self.chain.clone(), key).into()
    }
}

/// A connection that the other end took: its first bytes show that.
pub(super) async fn dial(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    let host = ServerName::try_from("any.internal").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(host, socket).await?;
    stream.read_exact(&mut [0; 9]).await?;
    Ok(stream)
}

async fn serve(roots: &Roots, host: &Arc<FakeHost>, config: ServerConfig) -> SocketAddr {
    let worker = Worker::open(Arc::<FakeHost>::clone(host), goal::of, "/state").await.unwrap();
    let service = service(Arc::new(Local(worker)), cp_1(), Access::of_site(roots.site()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    tokio::spawn(BOUNDS.server().add_service(service).serve_with_incoming(connections));
    address
}

/// What a node has after enrolment.
pub(super) fn node(roots: &Roots, node: &str, now: SystemTime) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&name(node), &request, now).unwrap();
    roots.grant(issued.chain).credentials(key.to_pem())
}

pub(super) fn cp_1() -> NodeName {
    name("cp-1")
}

pub(super) fn alice() -> OperatorName {
    OperatorName::try_from("alice").unwrap()
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|read| read.unwrap()).collect()
}
