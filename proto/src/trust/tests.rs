//! Handshakes over loopback, between every pair that may and may not meet.
//!
//! Certificates are made for the time that the TLS library reads; nothing waits for it to pass.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::ExtendedKeyUsagePurpose;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::authority::Authority;
use super::enrol::enrol_client::EnrolClient;
use super::enrol::enrol_server::{Enrol, EnrolServer};
use super::enrol::{ClaimReply, ClaimRequest};
use super::pem::pem_of;
use super::verifier::Expected;
use super::*;
use crate::NodeName;
use crate::secret::Secret;

const HOUR: Duration = Duration::from_hours(1);

/// Answers with who calls, and over which connection.
struct Mirror;

#[tonic::async_trait]
impl Enrol for Mirror {
    async fn claim(&self, request: Request<ClaimRequest>) -> Result<Response<ClaimReply>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap();
        let who = peer.identity.as_ref().map(ToString::to_string).unwrap_or_default();
        let reply = ClaimReply {
            chain: Vec::new(),
            operator_root: who.into_bytes(),
            node_root: peer.binding.0.to_vec(),
            bundle: String::new(),
            ask_again_after_s: 0,
        };
        Ok(Response::new(reply))
    }
}

async fn serve(config: ServerConfig) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let service = Server::builder().add_service(EnrolServer::new(Mirror));
    tokio::spawn(service.serve_with_incoming(connections));
    address
}

fn site() -> Roots {
    Roots::create(SiteId::random(), SystemTime::now()).unwrap()
}

fn name(name: &str) -> NodeName {
    NodeName::try_from(name).unwrap()
}

/// What a node holds after enrolment.
fn node(roots: &Roots, node: &str, at: SystemTime) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&name(node), &request, at).unwrap();
    roots.grant(issued.chain).credentials(key.to_pem())
}

fn operator(roots: &Roots, at: SystemTime) -> Credentials {
    roots.operator(&OperatorName::try_from("alice").unwrap(), Role::Admin, HOUR, at).unwrap()
}

/// Calls the node `cp-1` of the roots' site at the address.
async fn call(
    roots: &Roots,
    credentials: &Credentials,
    address: SocketAddr,
) -> Result<ClaimReply, Status> {
    let credentials = Arc::new(ArcSwap::from_pointee(credentials.clone()));
    let channel = node_channel(address, &name("cp-1"), &roots.site(), credentials).unwrap();
    let reply = EnrolClient::new(channel).claim(ClaimRequest::default()).await;
    reply.map(Response::into_inner)
}

async fn stranger(roots: &Roots, credentials: &Credentials, address: SocketAddr) -> String {
    let status = call(roots, credentials, address).await.unwrap_err();
    let contact = explain(&status);
    let Contact::Stranger { why } = contact else { panic!("{contact:?}: {status:?}") };
    why
}

#[tokio::test]
async fn an_operator_reaches_the_node_and_is_known_there() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let reply = call(&roots, &operator(&roots, now), address).await.unwrap();
    let who = format!("urn:quorate:site:{}:operator:alice:role:admin", roots.site());
    assert_eq!(String::from_utf8(reply.operator_root).unwrap(), who);
}

#[tokio::test]
async fn a_node_cannot_command_another() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let thief = Credentials {
        peer_roots_pem: operator(&roots, now).peer_roots_pem,
        ..node(&roots, "cp-2", now)
    };
    let why = stranger(&roots, &thief, address).await;
    assert!(why.contains("does not accept our certificate"), "{why}");
}

#[tokio::test]
async fn operators_need_a_short_life_and_the_one_right_use() {
    let (site, now) = (SiteId::random(), SystemTime::now());
    let roots = Roots::create(site, now).unwrap();
    let operators = Authority::root("operators", now).unwrap();
    let mut agent = node(&roots, "cp-1", now);
    agent.peer_roots_pem = pem_of(&operators.certificate);
    let address = serve(server_config(&agent).unwrap()).await;

    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let alice = format!("urn:quorate:site:{site}:operator:alice:role:admin");
    let elsewhere = format!("urn:quorate:site:{}:operator:alice:role:admin", SiteId::random());
    let in_name_only = format!("urn:quorate:site:{site}:node:cp-2");
    let cases = [
        (&alice, vec![client.clone()], 24, true),
        (&alice, vec![client.clone()], 25, false),
        (&alice, vec![client.clone(), server.clone()], 1, false),
        (&alice, vec![ExtendedKeyUsagePurpose::Any], 1, false),
        (&alice, vec![], 1, false),
        (&alice, vec![server], 1, false),
        (&elsewhere, vec![client.clone()], 1, false),
        (&in_name_only, vec![client], 1, false),
    ];
    for (identity, usages, hours, taken) in cases {
        let key = rcgen::KeyPair::generate().unwrap();
        let identity = identity.parse().unwrap();
        let leaf = operators.sign(&identity, &usages, now, now + hours * HOUR, &key).unwrap();
        let credentials = Credentials {
            chain_pem: pem_of(&leaf),
            key_pem: Secret::new(key.serialize_pem()),
            peer_roots_pem: operator(&roots, now).peer_roots_pem,
        };
        let reply = call(&roots, &credentials, address).await;
        assert_eq!(reply.is_ok(), taken, "{identity} {usages:?} {hours} h: {reply:?}");
    }
}

#[tokio::test]
async fn whoever_answers_in_the_nodes_place_is_named() {
    let (roots, now) = (site(), SystemTime::now());
    let ours = operator(&roots, now);

    let other = site();
    let address = serve(server_config(&node(&other, "cp-1", now)).unwrap()).await;
    let status = call(&roots, &ours, address).await.unwrap_err();
    let reason = TrustError::within(&status).unwrap();
    assert!(
        matches!(reason, TrustError::OtherSite { expected, found }
            if *expected == roots.site() && *found == other.site()),
        "{reason:?}"
    );

    let address = serve(server_config(&node(&roots, "cp-2", now)).unwrap()).await;
    let status = call(&roots, &ours, address).await.unwrap_err();
    let reason = TrustError::within(&status).unwrap();
    assert!(
        matches!(reason, TrustError::OtherNode { expected, found }
            if expected.as_str() == "cp-1" && found.to_string().ends_with("node:cp-2")),
        "{reason:?}"
    );

    let remade = Roots::create(roots.site(), now).unwrap();
    let address = serve(server_config(&node(&remade, "cp-1", now)).unwrap()).await;
    let status = call(&roots, &ours, address).await.unwrap_err();
    let reason = TrustError::within(&status).unwrap();
    assert!(matches!(reason, TrustError::OtherRoot { .. }), "{reason:?}");

    // An operator's certificate is no server's, though its root is one of the site.
    let mut imposter = operator(&roots, now);
    imposter.peer_roots_pem = node(&roots, "cp-1", now).peer_roots_pem;
    let address = serve(server_config(&imposter).unwrap()).await;
    assert!(stranger(&roots, &ours, address).await.contains("did not sign"));
}

#[tokio::test]
async fn nobody_at_the_address_is_silence_and_a_refused_call_is_an_answer() {
    let (roots, now) = (site(), SystemTime::now());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let status = call(&roots, &operator(&roots, now), address).await.unwrap_err();
    assert!(matches!(explain(&status), Contact::Silent { .. }), "{status:?}");
    assert_eq!(explain(&Status::permission_denied("no")), Contact::Answered);
}

#[tokio::test]
async fn expired_certificates_are_refused_and_clocks_mentioned() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let why = stranger(&roots, &operator(&roots, now - 48 * HOUR), address).await;
    assert!(why.contains("compare the clocks"), "{why}");

    let old = node(&roots, "cp-1", now - 100 * 24 * HOUR);
    let address = serve(server_config(&old).unwrap()).await;
    let why = stranger(&roots, &operator(&roots, now), address).await;
    assert!(why.contains("expired") && why.contains("compare the clocks"), "{why}");
}

#[tokio::test]
async fn both_ends_of_an_enrolment_know_one_binding_and_each_connection_has_its_own() {
    let (roots, now) = (site(), SystemTime::now());
    let config = enrol_server_config(&roots.service(now).unwrap()).unwrap();
    let address = serve(config).await.to_string();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (channel, binding, found) =
            enrol_channel(&address, roots.pin().unwrap()).await.unwrap();
        assert_eq!(found, roots.site());
        let reply = EnrolClient::new(channel).claim(ClaimRequest::default()).await.unwrap();
        let reply = reply.into_inner();
        assert_eq!(reply.node_root, binding.0.to_vec());
        assert!(reply.operator_root.is_empty(), "nobody is known there");
        seen.push(binding);
    }
    assert_ne!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_node_enrols_nowhere_but_at_the_pinned_coordinator() {
    let (roots, now) = (site(), SystemTime::now());
    let pin = roots.pin().unwrap();
    let other = enrol_server_config(&site().service(now).unwrap()).unwrap();
    let error = enrol_channel(&serve(other).await.to_string(), pin).await.unwrap_err();
    assert!(matches!(error, TrustError::OtherCoordinator), "{error}");

    // The right root in the chain does not help a leaf that it did not sign.
    let mut forged = site().service(now).unwrap();
    let (leaf, _) = forged.chain_pem.split_at(forged.chain_pem.rfind("-----BEGIN").unwrap());
    forged.chain_pem = format!("{leaf}{}", roots.to_pem().operators_pem);
    let address = serve(enrol_server_config(&forged).unwrap()).await;
    assert!(enrol_channel(&address.to_string(), pin).await.is_err());

    // An operator is no coordinator.
    let mut operator = operator(&roots, now);
    operator.chain_pem += &roots.to_pem().operators_pem;
    let address = serve(enrol_server_config(&operator).unwrap()).await;
    assert!(enrol_channel(&address.to_string(), pin).await.is_err());
}

#[tokio::test]
async fn a_granted_identity_is_believed_only_whole() {
    let (roots, now) = (site(), SystemTime::now());
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let chain = roots.certify_node(&name("cp-1"), &request, now).unwrap().chain;
    let (own, pin, id) = (key.key_digest(), roots.pin().unwrap(), roots.site());
    let granted = roots.grant(chain);
    let identity = granted.check(own, pin, id).unwrap();
    assert_eq!(identity, Identity { site: id, who: Who::Node(name("cp-1")) });

    let other = site();
    assert!(granted.check(other.pin().unwrap(), pin, id).is_err(), "another key");
    assert!(granted.check(own, pin, other.site()).is_err(), "another site");
    let wrong = GrantedIdentity { operator_root: other.operator_root().clone(), ..granted.clone() };
    assert!(wrong.check(own, pin, id).is_err(), "another operators' root");
    let wrong = GrantedIdentity { node_root: other.node_root().clone(), ..granted.clone() };
    assert!(wrong.check(own, pin, id).is_err(), "another nodes' root");
    let wrong = GrantedIdentity { chain: granted.chain[..1].to_vec(), ..granted.clone() };
    assert!(wrong.check(own, pin, id).is_err(), "no issuing authority");
    let wrong = GrantedIdentity { chain: Vec::new(), ..granted };
    assert!(wrong.check(own, pin, id).is_err(), "no certificate");
}

/// What a peer without our client code sends, and how the handshake ends.
async fn shake(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<HandshakeKind> {
    let socket = TcpStream::connect(address).await.unwrap();
    let host = ServerName::try_from("any.internal").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(host, socket).await?;
    // The first bytes show that the server took the connection; tickets would come before them.
    stream.read_exact(&mut [0; 9]).await?;
    stream.get_ref().1.handshake_kind().ok_or_else(|| std::io::ErrorKind::NotConnected.into())
}

#[tokio::test]
async fn no_session_is_resumed() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let mut config = client_config(&operator(&roots, now), roots.site(), &name("cp-1")).unwrap();
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..2 {
        assert_eq!(shake(address, &config).await.unwrap(), HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let (roots, now) = (site(), SystemTime::now());
    let agent = node(&roots, "cp-1", now);
    let address = serve(server_config(&agent).unwrap()).await;
    let peers = operator(&roots, now).peer_roots().unwrap();
    let expected = Expected::Node {
        site: roots.site(),
        node: name("cp-1"),
        roots: peers,
        keys: NodeKeys::default(),
    };
    let mut nobody = tls::client(expected).unwrap().with_no_client_auth();
    nobody.alpn_protocols = vec![tls::ALPN.to_vec()];
    assert!(shake(address, &Arc::new(nobody)).await.is_err());
}

#[tokio::test]
async fn a_node_with_a_key_that_is_not_its_newest_is_a_stranger() {
    let (roots, now) = (site(), SystemTime::now());
    let (old, new) = (node(&roots, "cp-1", now), node(&roots, "cp-1", now));
    let key = new.key_digest().unwrap();
    for (shown, taken) in [(&new, true), (&old, false)] {
        let address = serve(server_config(shown).unwrap()).await;
        let ours = Arc::new(ArcSwap::from_pointee(operator(&roots, now)));
        let keys = move || Ok(NodeKeys::only(key));
        let channel = node_channel_of(address, &name("cp-1"), &roots.site(), ours, keys).unwrap();
        let reply = EnrolClient::new(channel).claim(ClaimRequest::default()).await;
        assert_eq!(reply.is_ok(), taken);
        let why = reply.err().map(|status| explain(&status));
        let told =
            matches!(&why, Some(Contact::Stranger { why }) if why.contains("node token cp-1"));
        assert!(taken || told, "{why:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_taken_for_its_known_key_and_for_no_other() {
    let now = SystemTime::now();
    let long_ago = now - 100 * 24 * HOUR;
    let roots = Roots::create(SiteId::random(), long_ago).unwrap();
    let (ended, other) = (node(&roots, "cp-1", long_ago), node(&roots, "cp-1", now));
    let own = BTreeSet::from([ended.key_digest().unwrap()]);
    let others = BTreeSet::from([other.key_digest().unwrap()]);
    let address = serve(server_config(&ended).unwrap()).await;
    let stranger = Roots::create(roots.site(), long_ago).unwrap();
    let forged = serve(server_config(&node(&stranger, "cp-1", long_ago)).unwrap()).await;
    for (address, known, ended_too, taken) in [
        (address, Some(own.clone()), true, true),
        (address, Some(own.clone()), false, false),
        (address, Some(others), true, false),
        (address, None, true, false),
        (forged, Some(own), true, false),
    ] {
        let ours = Arc::new(ArcSwap::from_pointee(operator(&roots, now)));
        let keys = NodeKeys { known, ended_too };
        let asked = keys.clone();
        let keys_of = move || Ok(asked.clone());
        let channel =
            node_channel_of(address, &name("cp-1"), &roots.site(), ours, keys_of).unwrap();
        let reply = EnrolClient::new(channel).claim(ClaimRequest::default()).await;
        assert_eq!(reply.is_ok(), taken, "{keys:?}: {reply:?}");
    }
}

#[test]
fn a_renewed_certificate_is_believed_only_whole() {
    let (roots, now) = (site(), SystemTime::now());
    let held = node(&roots, "cp-1", now);
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let certify =
        |roots: &Roots, node: &str| roots.certify_node(&name(node), &request, now).unwrap().chain;
    let root = roots.to_pem().nodes_pem;
    let chain = certify(&roots, "cp-1");
    let next = held.renewed(&key, &chain, &root).unwrap();
    assert_eq!(next.key_digest().unwrap(), key.key_digest());
    assert_eq!(next.identity().unwrap(), held.identity().unwrap());
    assert!(server_config(&next).is_ok());

    let stranger = Roots::create(roots.site(), now).unwrap();
    let other_key = NodeKey::generate().unwrap();
    assert!(held.renewed(&other_key, &chain, &root).is_err(), "another key");
    assert!(held.renewed(&key, &certify(&roots, "cp-2"), &root).is_err(), "another node");
    assert!(held.renewed(&key, &certify(&site(), "cp-1"), &root).is_err(), "another site");
    assert!(held.renewed(&key, &certify(&stranger, "cp-1"), &root).is_err(), "another root");
    assert!(held.renewed(&key, &chain[..1], &root).is_err(), "no issuing authority");
    assert!(held.renewed(&key, &[], &root).is_err(), "no certificate");
    let bundle = root + &stranger.to_pem().nodes_pem;
    assert!(held.renewed(&key, &certify(&stranger, "cp-1"), &bundle).is_ok(), "either root");
}

#[tokio::test]
async fn only_http_2_is_spoken() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    for alpn in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut config =
            client_config(&operator(&roots, now), roots.site(), &name("cp-1")).unwrap();
        config.alpn_protocols = alpn;
        assert!(shake(address, &Arc::new(config)).await.is_err());
    }
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let roots = site();
    let agent = node(&roots, "cp-1", SystemTime::now());
    let address = serve(server_config(&agent).unwrap()).await;

    // ClientHello of 1.2: one suite, P-256, ECDSA with SHA-256.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3];
    body.extend([0, 16]);
    body.extend(extensions);
    let mut hello = vec![22, 3, 1, 0, 4 + u8::try_from(body.len()).unwrap()];
    hello.extend([1, 0, 0, u8::try_from(body.len()).unwrap()]);
    hello.extend(body);

    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    let mut answer = [0; 7];
    socket.read_exact(&mut answer).await.unwrap();
    let protocol_version = 70;
    assert_eq!((answer[0], answer[6]), (21, protocol_version), "{answer:?}");
}

#[tokio::test]
async fn those_who_connect_and_say_nothing_keep_nobody_out() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let mut silent = Vec::new();
    for _ in 0..32 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(call(&roots, &operator(&roots, now), address).await.is_ok());
    drop(silent);
}

#[tokio::test]
async fn whoever_says_nothing_after_the_handshake_is_sent_away() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let config = client_config(&operator(&roots, now), roots.site(), &name("cp-1")).unwrap();
    for begun in ["", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let socket = TcpStream::connect(address).await.unwrap();
        let host = ServerName::try_from("any.internal").unwrap();
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let mut stream = connector.connect(host, socket).await.unwrap();
        stream.read_exact(&mut [0; 9]).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        // From here on time passes when all wait.
        tokio::time::pause();
        let mut said = Vec::new();
        let ends = stream.read_to_end(&mut said);
        let ended = tokio::time::timeout(Duration::from_secs(25), ends).await;
        assert!(ended.is_ok(), "who has said {begun:?} is waited for");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn one_operator_does_not_keep_another_out() {
    let (roots, now) = (site(), SystemTime::now());
    let address = serve(server_config(&node(&roots, "cp-1", now)).unwrap()).await;
    let config = client_config(&operator(&roots, now), roots.site(), &name("cp-1")).unwrap();
    let mut open = Vec::new();
    loop {
        let socket = TcpStream::connect(address).await.unwrap();
        let host = ServerName::try_from("any.internal").unwrap();
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let mut stream = connector.connect(host, socket).await.unwrap();
        if stream.read_exact(&mut [0; 9]).await.is_err() {
            break;
        }
        open.push(stream);
    }
    assert_eq!(open.len(), 32);
    call(&roots, &operator(&roots, now), address).await.unwrap_err();
    let bob = OperatorName::try_from("bob").unwrap();
    let bob = roots.operator(&bob, Role::Viewer, HOUR, now).unwrap();
    call(&roots, &bob, address).await.unwrap();
}

#[tokio::test]
async fn new_certificates_serve_new_connections() {
    let (roots, now) = (site(), SystemTime::now());
    let config =
        Arc::new(ArcSwap::from_pointee(server_config(&node(&roots, "cp-2", now)).unwrap()));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Server::builder().add_service(EnrolServer::new(Mirror));
    tokio::spawn(service.serve_with_incoming(incoming(listener, Arc::clone(&config))));

    let ours = operator(&roots, now);
    assert!(call(&roots, &ours, address).await.is_err());
    config.store(Arc::new(server_config(&node(&roots, "cp-1", now)).unwrap()));
    assert!(call(&roots, &ours, address).await.is_ok());
}
