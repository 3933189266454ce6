//! Enrolment of this node with a small coordinator of our own, over TLS on loopback.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use quorate_proto::trust::enrol::enrol_server::{Enrol, EnrolServer};
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{
    KeyDigest, Peer, Roots, SigningRequest, VerifyKey, check_proof, enrol_server_config, incoming,
};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::{Request, Response};

use super::*;
use crate::host::Files as _;
use crate::host::fake::FakeHost;

const FOLDER: &str = crate::identity::FOLDER;

/// Grants each claim that its token signed; loses as many answers as it is told to.
struct Coordinator {
    roots: Arc<Roots>,
    verify_key: VerifyKey,
    losses: Mutex<u32>,
    /// How often a claim is told to wait.
    waits: Mutex<u32>,
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
        let mut waits = self.waits.lock().unwrap();
        if *waits > 0 {
            *waits -= 1;
            return Ok(Response::new(ClaimReply::waiting(Duration::from_secs(5))));
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
        Self::start_slow(losses, 0).await
    }

    async fn start_slow(losses: u32, waits: u32) -> Self {
        let now = SystemTime::now();
        let roots = Arc::new(Roots::create(SiteId::random(), now).unwrap());
        let token = JoinToken::mint(roots.pin().unwrap()).unwrap();
        let seen = Arc::default();
        let service = Coordinator {
            roots: Arc::clone(&roots),
            verify_key: token.verify_key().unwrap(),
            losses: Mutex::new(losses),
            waits: Mutex::new(waits),
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
        let coordinators = [self.address.to_string()];
        enrol_at(host, &coordinators, token, &|_| {}).await
    }
}

async fn enrol_at(
    host: &FakeHost,
    coordinators: &[String],
    token: &JoinToken,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<NodeIdentity, EnrolError> {
    let wait = Duration::from_mins(30);
    enrol(host, &Enrolment { coordinators, token, folder: FOLDER, wait, tell }).await
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

#[tokio::test]
async fn a_node_that_waits_shows_its_code_and_asks_again_with_one_key() {
    let (site, disk) = (Site::start_slow(0, 70).await, FakeHost::bare());
    let told = Mutex::new(String::new());
    let tell = |text: &str| told.lock().unwrap().push_str(text);
    let coordinators = [site.address.to_string()];
    enrol_at(&disk, &coordinators, &site.token, &tell).await.unwrap();
    let told = told.into_inner().unwrap();
    let seen = site.seen.lock().unwrap();
    assert_eq!(seen.len(), 71);
    assert!(seen.iter().all(|key| *key == seen[0]));
    let code = EnrolCode::of(&KeyDigest(seen[0].clone().try_into().unwrap())).to_string();
    assert!(told.contains(&format!("\n    {code}\n")), "{told}");
    assert_eq!(told.matches("since 5 min").count(), 1, "a reminder, and not with every question");
    let history = disk.history();
    let written = format!("writing {}", settle::CODE_FILE);
    assert!(history.contains(&written), "{history:?}");
    assert!(!disk.state().files.contains_key(settle::CODE_FILE), "of no use any more");
}

#[tokio::test]
async fn who_is_not_approved_in_time_goes_on_later_with_the_same_key() {
    let (site, disk) = (Site::start_slow(0, 400).await, FakeHost::bare());
    let error = site.enrol(&disk, &site.token).await.unwrap_err();
    assert!(matches!(error, EnrolError::Unapproved { .. }), "{error}");
    assert_eq!(error.remedy(), Remedy::Again);
    assert!(disk.state().uptime_ms >= 30 * 60 * 1000);
    site.enrol(&disk, &site.token).await.unwrap();
    let seen = site.seen.lock().unwrap();
    assert!(seen.iter().all(|key| *key == seen[0]));
}

#[tokio::test]
async fn coordinators_are_tried_in_turn_and_a_stranger_tells_more_than_silence() {
    let (site, other, disk) = (Site::start(0).await, Site::start(0).await, FakeHost::bare());
    // Nobody listens there: the port was ours a moment ago.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (ours, strange) = (site.address.to_string(), other.address.to_string());
    let tries = [strange.clone(), silent.clone()];
    let error = enrol_at(&disk, &tries, &site.token, &|_| {}).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Stranger, "{error}");
    let error = enrol_at(&disk, &[], &site.token, &|_| {}).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Usage, "{error}");
    let error = enrol_at(&disk, std::slice::from_ref(&silent), &site.token, &|_| {}).await;
    assert_eq!(error.unwrap_err().remedy(), Remedy::Again);
    enrol_at(&disk, &[strange, silent, ours], &site.token, &|_| {}).await.unwrap();
    assert!(other.seen.lock().unwrap().is_empty(), "the token went to a stranger");
}

#[tokio::test]
async fn a_disk_that_fills_up_at_any_moment_leaves_no_half_identity_and_the_token_serves_again() {
    for writes in 0..6 {
        let (site, disk) = (Site::start(0).await, FakeHost::bare());
        disk.interrupt_after(writes);
        let error = site.enrol(&disk, &site.token).await.unwrap_err();
        assert!(matches!(error, EnrolError::Identity(_)), "{error}");
        assert!(disk.revive());
        let loaded = NodeIdentity::load(&disk, FOLDER).await.unwrap();
        // The sixth change removes the pending key: the identity is whole by then.
        assert_eq!(loaded.is_some(), writes == 5, "after {writes} writes");
        if loaded.is_none() {
            site.enrol(&disk, &site.token).await.unwrap();
        }
        let seen = site.seen.lock().unwrap();
        assert!(seen.iter().all(|key| *key == seen[0]), "another key after {writes} writes");
    }
}

#[tokio::test]
async fn an_identity_that_was_removed_makes_room_for_another() {
    let (site, disk) = (Site::start(0).await, FakeHost::bare());
    assert!(!crate::identity::remove(&disk, FOLDER).await.unwrap());
    site.enrol(&disk, &site.token).await.unwrap();
    disk.interrupt_after(1);
    assert!(crate::identity::remove(&disk, FOLDER).await.is_err());
    assert!(disk.revive());
    assert_eq!(
        NodeIdentity::load(&disk, FOLDER).await.unwrap(),
        None,
        "the certificate goes first"
    );
    assert!(crate::identity::remove(&disk, FOLDER).await.unwrap());
    assert_eq!(disk.list(FOLDER).await.unwrap(), [""; 0]);
    site.enrol(&disk, &site.token).await.unwrap();
}

/// A machine whose first boot left this token where cloud-init puts things.
fn first_boot(text: &str) -> FakeHost {
    let disk = FakeHost::bare();
    let mut state = disk.state();
    state.put(settle::TOKEN_FILE, &format!("{text}\n"));
    for file in [
        "/var/lib/cloud/instance/user-data.txt",
        "/var/lib/cloud/instance/scripts/runcmd",
        "/run/cloud-init/combined-cloud-config.json",
        "/var/log/cloud-init-output.log",
    ] {
        state.put(file, &format!("before {text} after {text}\n"));
    }
    state.put("/var/log/cloud-init.log", "no token here\n");
    state.put("/root/notes", text);
    drop(state);
    disk
}

#[tokio::test]
async fn a_spent_token_is_left_nowhere_and_the_result_says_where_it_was() {
    let site = Site::start(0).await;
    let (text, other) = (site.token.to_text(), JoinToken::mint(site.token.pin()).unwrap());
    let disk = first_boot(text.expose());
    let other = other.to_text().expose().to_owned();
    disk.state().put("/var/lib/cloud/instance/cloud-config.txt", &other);
    disk.state().put("/token", text.expose());
    let identity = site.enrol(&disk, &site.token).await.unwrap();
    let copies =
        settle::settle(&disk, &identity, &site.token, Some("/token"), "/var/lib/quorate-agent")
            .await;
    let cleaned = [
        "/token",
        settle::TOKEN_FILE,
        "/var/lib/cloud/instance/user-data.txt",
        "/run/cloud-init/combined-cloud-config.json",
        "/var/log/cloud-init-output.log",
        "/var/lib/cloud/instance/scripts/runcmd",
    ];
    assert_eq!((copies.cleaned, copies.left), (cleaned.map(str::to_owned).to_vec(), Vec::new()));
    let state = disk.state();
    let holds = |path: &&String| state.text(path).contains(text.expose());
    let holders: Vec<_> = state.files.keys().filter(holds).collect();
    assert_eq!(holders, ["/root/notes"], "what is not cloud-init's is not ours to change");
    assert_eq!(state.text("/var/lib/cloud/instance/cloud-config.txt"), other, "another token");
    assert!(
        state.text("/var/lib/cloud/instance/user-data.txt").starts_with("before qrt1_REDACTED__")
    );
    assert!(!state.files.contains_key(settle::TOKEN_FILE) && !state.files.contains_key("/token"));
    assert_eq!(state.text(settle::MARKER), "cp-1\n");
    let result = state.text("/var/lib/quorate-agent/enrol.result");
    assert!(result.contains("\"node\":\"cp-1\"") && result.contains("scripts/runcmd"), "{result}");
    assert!(!result.contains(text.expose()));
}

#[tokio::test]
async fn what_cannot_be_cleaned_is_told_and_undoes_nothing() {
    let site = Site::start(0).await;
    let disk = first_boot(site.token.to_text().expose());
    let identity = site.enrol(&disk, &site.token).await.unwrap();
    disk.interrupt_after(0);
    let copies =
        settle::settle(&disk, &identity, &site.token, None, "/var/lib/quorate-agent").await;
    assert!(copies.cleaned.is_empty() && copies.left.len() == 7, "{copies:?}");
    disk.revive();
    assert_eq!(NodeIdentity::load(&disk, FOLDER).await.unwrap(), Some(identity));
}

#[tokio::test]
async fn a_token_that_others_could_read_is_not_used() {
    let disk = FakeHost::bare();
    settle::check_token_file(&disk).await.unwrap();
    disk.write(settle::TOKEN_FILE, b"qrt1_x", 0o644).await.unwrap();
    let error = settle::check_token_file(&disk).await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Token, "{error}");
    let error = read_token(&disk, settle::TOKEN_FILE).await.unwrap_err();
    assert!(matches!(error, EnrolError::TokenFile(_)), "{error}");
}
