//! Enrolment of this node with a small coordinator of our own, over TLS on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate_proto::trust::enrol::enrol_server::{Enrol, EnrolServer};
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{
    KeyDigest, Peer, Roots, SigningRequest, SiteId, VerifyKey, check_proof, enrol_server_config,
    incoming,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response};

use super::*;
use crate::host::fake::FakeHost;

const FOLDER: &str = crate::identity::FOLDER;

/// Grants each claim that its token signed; loses as many answers as it is told to.
struct Coordinator {
    roots: Arc<Roots>,
    verify_key: VerifyKey,
    losses: Mutex<u32>,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

#[tonic::async_trait]
impl Enrol for Coordinator {
    async fn claim(&self, request: Request<ClaimRequest>) -> Result<Response<ClaimReply>, Status> {
        let peer = request.extensions().get::<Peer>().unwrap().clone();
        let claim = request.into_inner();
        if check_proof(&claim, &peer.binding, &self.verify_key).is_err() {
            return Err(Status::permission_denied("the claim is refused"));
        }
        let request = SigningRequest::from_der(&claim.csr_der).unwrap();
        self.seen.lock().unwrap().push(request.key_digest().0.to_vec());
        let mut losses = self.losses.lock().unwrap();
        if *losses > 0 {
            *losses -= 1;
            return Err(Status::unavailable("power cut"));
        }
        let node = NodeName::try_from("cp-1").unwrap();
        let issued = self.roots.certify_node(&node, &request, SystemTime::now()).unwrap();
        Ok(Response::new(self.roots.grant(issued.chain).into()))
    }
}

struct Site {
    roots: Arc<Roots>,
    token: JoinToken,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
    address: SocketAddr,
}

impl Site {
    async fn start(losses: u32) -> Self {
        let now = SystemTime::now();
        let roots = Arc::new(Roots::create(SiteId::random(), now).unwrap());
        let token = JoinToken::mint(roots.pin().unwrap()).unwrap();
        let seen = Arc::default();
        let service = Coordinator {
            roots: Arc::clone(&roots),
            verify_key: token.verify_key().unwrap(),
            losses: Mutex::new(losses),
            seen: Arc::clone(&seen),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = enrol_server_config(&roots.service(now).unwrap()).unwrap();
        let connections = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
        let server = Server::builder().add_service(EnrolServer::new(service));
        tokio::spawn(server.serve_with_incoming(connections));
        Self { roots, token, seen, address }
    }

    async fn enrol(&self, host: &FakeHost, token: &JoinToken) -> Result<NodeIdentity, EnrolError> {
        let coordinator = self.address.to_string();
        let enrolment = Enrolment { coordinator: &coordinator, token, folder: FOLDER };
        enrol(host, &enrolment).await
    }
}

#[tokio::test]
async fn a_node_enrols_and_finds_its_identity_again() {
    let (site, disk) = (Site::start(0).await, FakeHost::bare());
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), None);
    let identity = site.enrol(&disk, &site.token).await.unwrap();
    assert_eq!((identity.node.as_str(), identity.site), ("cp-1", site.roots.site()));
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), Some(identity));
    let names = ["chain.pem", "key.pem", "nodes.pem", "operators.pem"];
    assert_eq!(disk.list(FOLDER).await.unwrap(), names);
    let state = disk.state();
    assert!(names.iter().all(|name| state.modes.get(&format!("{FOLDER}/{name}")) == Some(&0o600)));
    assert!(state.files.keys().all(|path| !state.text(path).contains("qrt1_")));
}

#[tokio::test]
async fn an_enrolled_node_does_not_enrol_again() {
    let (site, disk) = (Site::start(0).await, FakeHost::bare());
    site.enrol(&disk, &site.token).await.unwrap();
    let error = site.enrol(&disk, &site.token).await.unwrap_err();
    assert!(matches!(error, EnrolError::Enrolled { .. }), "{error}");
    assert_eq!(site.seen.lock().unwrap().len(), 1, "nobody was asked");
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let (site, disk) = (Site::start(1).await, FakeHost::bare());
    let error = site.enrol(&disk, &site.token).await.unwrap_err();
    assert!(matches!(error, EnrolError::Lost(_)), "{error}");
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), None);
    site.enrol(&disk, &site.token).await.unwrap();
    let seen = site.seen.lock().unwrap();
    assert_eq!((seen.len(), &seen[0]), (2, &seen[1]));
}

#[tokio::test]
async fn a_refusal_and_a_wrong_coordinator_leave_no_identity() {
    let (site, other, disk) = (Site::start(0).await, Site::start(0).await, FakeHost::bare());
    let guessed = JoinToken::mint(site.token.pin()).unwrap();
    let error = site.enrol(&disk, &guessed).await.unwrap_err();
    assert!(matches!(error, EnrolError::Refused(_)), "{error}");
    let error = site.enrol(&disk, &other.token).await.unwrap_err();
    assert!(matches!(error, EnrolError::Reach(TrustError::OtherCoordinator)), "{error}");
    assert!(site.seen.lock().unwrap().is_empty());
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), None);
}

#[tokio::test]
async fn half_an_identity_is_told_and_anothers_key_does_not_serve() {
    let (site, disk) = (Site::start(0).await, FakeHost::bare());
    site.enrol(&disk, &site.token).await.unwrap();
    let key = path(FOLDER, "key.pem");
    let other = NodeKey::generate().unwrap().to_pem();
    disk.write(&key, other.expose().as_bytes(), 0o600).await.unwrap();
    let error = NodeIdentity::load(&disk, FOLDER).await.unwrap_err();
    assert!(matches!(error, NodeIdentityError::Unfit { .. }), "{error}");
    disk.remove(&key).await.unwrap();
    let error = NodeIdentity::load(&disk, FOLDER).await.unwrap_err();
    assert!(matches!(error, NodeIdentityError::Missing { .. }), "{error}");
}

#[tokio::test]
async fn a_token_with_a_typing_error_is_found_out_at_once() {
    let disk = FakeHost::bare();
    let error = read_token(&disk, "/token").await.unwrap_err();
    assert!(matches!(error, EnrolError::NoToken { .. }), "{error}");
    let token = JoinToken::mint(KeyDigest([1; 32])).unwrap();
    let text = token.to_text();
    let (rest, last) = text.expose().split_at(text.expose().len() - 1);
    let typo = format!("{rest}{}", if last == "0" { "8" } else { "0" });
    disk.write("/token", typo.as_bytes(), 0o600).await.unwrap();
    let error = read_token(&disk, "/token").await.unwrap_err();
    assert!(matches!(error, EnrolError::Token(TokenError::Typo)), "{error}");
    let good = format!("{}\n", text.expose());
    disk.write("/token", good.as_bytes(), 0o600).await.unwrap();
    assert_eq!(read_token(&disk, "/token").await.unwrap().id(), token.id());
}
