//! Enrolment over real TLS on loopback. Time is given: certificates need the one that the TLS
//! library reads, and from there it only moves by hand.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;

use quorate_proto::Machine;
use quorate_proto::trust::enrol::enrol_client::EnrolClient;
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{GrantedIdentity, Identity, NodeKey, Who, enrol_channel, prove};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::*;
use crate::store::{Claimant, seconds};

const HOUR: Duration = Duration::from_hours(1);
const AUTO: TokenTerms =
    TokenTerms { role: NodeRole::ControlPlane, approval: Approval::Auto, ttl: HOUR };

/// A site that serves enrolment, and its clock.
struct Serving {
    site: Arc<Site>,
    address: SocketAddr,
    now: Arc<Mutex<SystemTime>>,
    folder: TempDir,
}

impl Serving {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let site = Arc::new(Site::create(&folder.path().join("state"), start).unwrap());
        let (address, now) = serve(&site, start).await;
        Self { site, address, now, folder }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn token(&self, node: &str) -> JoinToken {
        let now = *self.now.lock().unwrap();
        let token = self.site.issue_token(&name(node), &AUTO, now).unwrap();
        token.text.expose().parse().unwrap()
    }

    async fn claim(&self, token: &JoinToken, key: &NodeKey) -> Result<GrantedIdentity, Status> {
        claim_at(self.address, token, key).await
    }
}

async fn serve(site: &Arc<Site>, start: SystemTime) -> (SocketAddr, Arc<Mutex<SystemTime>>) {
    let now = Arc::new(Mutex::new(start));
    let clock_now = Arc::clone(&now);
    let clock: Clock = Arc::new(move || *clock_now.lock().unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let never = std::future::pending();
    let site = Arc::clone(site);
    tokio::spawn(serve_enrolment(site, listener, clock, BTreeSet::new(), never, |_| {}));
    (address, now)
}

fn name(name: &str) -> NodeName {
    NodeName::try_from(name).unwrap()
}

fn facts() -> String {
    serde_json::to_string(&Machine::default()).unwrap()
}

async fn claim_at(
    address: SocketAddr,
    token: &JoinToken,
    key: &NodeKey,
) -> Result<GrantedIdentity, Status> {
    let (channel, binding, _) = enrol_channel(&address.to_string(), token.pin()).await.unwrap();
    let claim = prove(token, &binding, key.request().unwrap(), facts()).unwrap();
    send(channel, claim).await.map(Into::into)
}

async fn send(
    channel: tonic::transport::Channel,
    claim: ClaimRequest,
) -> Result<ClaimReply, Status> {
    EnrolClient::new(channel).claim(claim).await.map(tonic::Response::into_inner)
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    status.message().to_owned()
}

#[tokio::test]
async fn a_node_enrols_once_and_its_own_key_may_ask_again() {
    let serving = Serving::start().await;
    let (token, key) = (serving.token("cp-1"), NodeKey::generate().unwrap());
    let granted = serving.claim(&token, &key).await.unwrap();
    let identity = granted.check(key.key_digest(), token.pin(), serving.site.id()).unwrap();
    assert_eq!(identity, Identity { site: serving.site.id(), who: Who::Node(name("cp-1")) });

    serving.pass(HOUR + Duration::from_mins(10));
    assert_eq!(serving.claim(&token, &key).await.unwrap(), granted);
    serving.pass(Duration::from_secs(1));
    refused(serving.claim(&token, &key).await);
    let store = serving.site.store().unwrap();
    assert!(store.enrolled(&name("cp-1")).unwrap());
    assert_eq!(store.enrolment_facts(&name("cp-1")).unwrap(), Some(facts()));
}

#[tokio::test]
async fn a_claim_that_was_cut_short_is_finished_by_a_coordinator_started_anew() {
    let serving = Serving::start().await;
    let (token, key) = (serving.token("cp-1"), NodeKey::generate().unwrap());
    let now = *serving.now.lock().unwrap();
    // The coordinator died after it wrote down the claim.
    let claimant = Claimant { at: seconds(now), from: "127.0.0.1".to_owned(), facts_json: facts() };
    let mut store = serving.site.store().unwrap();
    store.claim(&token.id(), &key.key_digest(), &claimant).unwrap();

    let again = Arc::new(Site::open(&serving.folder.path().join("state")).unwrap());
    let (address, _) = serve(&again, now).await;
    let granted = claim_at(address, &token, &key).await.unwrap();
    assert!(granted.check(key.key_digest(), token.pin(), again.id()).is_ok());
}

#[tokio::test]
async fn a_second_key_burns_the_token_for_both() {
    let serving = Serving::start().await;
    let token = serving.token("cp-1");
    let (first, second) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    serving.claim(&token, &first).await.unwrap();
    refused(serving.claim(&token, &second).await);
    refused(serving.claim(&token, &first).await);
}

#[tokio::test]
async fn of_two_keys_at_once_one_at_most_is_granted() {
    let serving = Serving::start().await;
    let token = serving.token("cp-1");
    let (one, two) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let (one, two) = tokio::join!(serving.claim(&token, &one), serving.claim(&token, &two));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn every_refusal_reads_the_same() {
    let serving = Serving::start().await;
    let key = NodeKey::generate().unwrap();
    let csr = || key.request().unwrap();
    let mut texts = BTreeSet::new();

    let (token, stranger) = (serving.token("cp-1"), JoinToken::mint(serving.token("x").pin()));
    texts.insert(refused(serving.claim(&stranger.unwrap(), &key).await));

    // A claim that was recorded on another connection, and one that was changed on its way.
    let connect = || enrol_channel_of(&serving, &token);
    let (_, elsewhere) = connect().await;
    let (channel, _) = connect().await;
    let recorded = prove(&token, &elsewhere, csr(), facts()).unwrap();
    texts.insert(refused(send(channel, recorded).await));
    let (channel, binding) = connect().await;
    let mut changed = prove(&token, &binding, csr(), facts()).unwrap();
    changed.csr_der = NodeKey::generate().unwrap().request().unwrap();
    texts.insert(refused(send(channel, changed).await));

    // Signed rightly and of no use.
    for (csr, facts) in
        [(vec![1, 2, 3], facts()), (csr(), "{".to_owned()), (csr(), "x".repeat(20_000))]
    {
        let (channel, binding) = connect().await;
        let claim = prove(&token, &binding, csr, facts).unwrap();
        texts.insert(refused(send(channel, claim).await));
    }

    let late = serving.token("cp-2");
    serving.pass(HOUR + Duration::from_secs(1));
    texts.insert(refused(serving.claim(&late, &key).await));
    assert_eq!(texts.len(), 1, "{texts:?}");
}

async fn enrol_channel_of(
    serving: &Serving,
    token: &JoinToken,
) -> (tonic::transport::Channel, quorate_proto::trust::ChannelBinding) {
    let found = enrol_channel(&serving.address.to_string(), token.pin()).await.unwrap();
    (found.0, found.1)
}

#[tokio::test]
async fn what_is_wrong_with_a_claim_does_not_spend_the_token() {
    let serving = Serving::start().await;
    let (token, key) = (serving.token("cp-1"), NodeKey::generate().unwrap());
    let (channel, binding) = enrol_channel_of(&serving, &token).await;
    let claim = prove(&token, &binding, vec![1, 2, 3], facts()).unwrap();
    refused(send(channel, claim).await);
    assert!(serving.claim(&token, &key).await.is_ok());
}

#[tokio::test]
async fn a_key_is_certified_for_one_node_only() {
    let serving = Serving::start().await;
    let key = NodeKey::generate().unwrap();
    serving.claim(&serving.token("cp-1"), &key).await.unwrap();
    refused(serving.claim(&serving.token("cp-2"), &key).await);
}

#[tokio::test]
async fn claims_are_limited_within_a_minute() {
    let serving = Serving::start().await;
    let (token, key) = (serving.token("cp-1"), NodeKey::generate().unwrap());
    let stranger = JoinToken::mint(token.pin()).unwrap();
    for _ in 0..10 {
        refused(serving.claim(&stranger, &key).await);
    }
    let status = serving.claim(&token, &key).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    serving.pass(Duration::from_mins(1));
    assert!(serving.claim(&token, &key).await.is_ok());
}

#[tokio::test]
async fn as_many_as_have_tokens_enrol_within_a_minute_from_one_address() {
    let serving = Serving::start().await;
    for number in 0..12 {
        let (token, key) = (serving.token(&format!("n-{number}")), NodeKey::generate().unwrap());
        let granted = serving.claim(&token, &key).await;
        assert!(granted.is_ok(), "{number}: {granted:?}");
    }
}

#[tokio::test]
async fn serving_ends_once_those_awaited_are_enrolled_anew() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let site = Arc::new(Site::create(&folder.path().join("state"), now).unwrap());
    let clock: Clock = Arc::new(move || now);
    let (told, mut tidings) = mpsc::unbounded_channel();
    let start = |listener, awaited: &[&str]| {
        let awaited = awaited.iter().copied().map(name).collect();
        let (site, clock, told) = (Arc::clone(&site), Arc::clone(&clock), told.clone());
        let tell = move |tiding: &Tiding| told.send(tiding.clone()).unwrap();
        tokio::spawn(serve_enrolment(site, listener, clock, awaited, std::future::pending(), tell))
    };
    let token = |node: &str| -> JoinToken {
        let token = site.issue_token(&name(node), &AUTO, now).unwrap();
        token.text.expose().parse().unwrap()
    };
    for round in 0..2 {
        let tokens = [token("cp-1"), token("cp-2")];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = start(listener, &["cp-1", "cp-2"]);
        for (token, node) in tokens.iter().zip(["cp-1", "cp-2"]) {
            assert!(!serving.is_finished(), "round {round}");
            claim_at(address, token, &NodeKey::generate().unwrap()).await.unwrap();
            assert_eq!(tidings.recv().await, Some(Tiding::Enrolled(name(node))));
        }
        serving.await.unwrap().unwrap();
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    start(listener, &["cp-2"]).await.unwrap().unwrap();
}

#[test]
fn a_site_is_made_once_and_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    assert!(matches!(Site::open(&state), Err(SiteError::Missing { .. })));
    let now = SystemTime::now();
    let made = Site::create(&state, now).unwrap();
    let opened = Site::open(&state).unwrap();
    assert_eq!(opened.id(), made.id());
    let run = opened.run_credentials(now).unwrap();
    assert_eq!(run.identity.site, made.id());
    assert!(matches!(Site::create(&state, now), Err(SiteError::Exists { .. })));
    assert_eq!(Site::open(&state).unwrap().roots.to_pem(), made.roots.to_pem());
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    Site::create(&state, SystemTime::now()).unwrap();
    let keys = state.join(ROOT_KEYS);
    let authorities = state.join("authorities");
    for entry in [&state, &keys, &authorities].into_iter().flat_map(|at| at.read_dir().unwrap()) {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let key = authorities.join("operators-issuing.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Site::open(&state).unwrap_err();
    assert!(matches!(&error, SiteError::Exposed { path } if *path == key), "{error}");
}

#[test]
fn no_secret_is_in_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let site = Site::create(&state, SystemTime::now()).unwrap();
    let token = site.issue_token(&name("cp-1"), &AUTO, SystemTime::now()).unwrap();
    let run = site.run_credentials(SystemTime::now()).unwrap();
    let key = run.credentials.key_pem.expose().lines().nth(1).unwrap().to_owned();
    let files = |entry: io::Result<std::fs::DirEntry>| entry.unwrap().path();
    for file in state.read_dir().unwrap().map(files).filter(|path| path.is_file()) {
        let content = std::fs::read(file).unwrap();
        let content = String::from_utf8_lossy(&content);
        assert!(!content.contains(token.text.expose()) && !content.contains(&key));
        assert!(!content.contains("qrt1_"));
    }
}

#[test]
fn the_roots_keys_may_be_away_until_one_of_them_is_to_sign() {
    let folder = tempfile::tempdir().unwrap();
    let (state, safe) = (folder.path().join("state"), folder.path().join("safe"));
    let now = SystemTime::now();
    Site::create_apart(&state, Some(&safe), now).unwrap();
    let mut site = Site::open(&state).unwrap();
    site.run_credentials(now).unwrap();
    site.issue_token(&name("cp-1"), &AUTO, now).unwrap();
    let error = site.reissue(None, now).unwrap_err();
    assert!(matches!(error, SiteError::NoRootKeys { .. }), "{error}");
    assert!(error.to_string().contains("--root-keys DIR"), "{error}");

    let before = site.roots.to_pem();
    site.reissue(Some(&safe), now).unwrap();
    let after = Site::open(&state).unwrap().roots.to_pem();
    assert_eq!(
        (&after.operators_pem, &after.nodes_pem),
        (&before.operators_pem, &before.nodes_pem)
    );
    assert_ne!(after.nodes_issuing_pem, before.nodes_issuing_pem);
    let again = Site::create_apart(&folder.path().join("other"), Some(&safe), now).unwrap_err();
    assert!(matches!(again, SiteError::KeysExist { .. }), "{again}");
}

#[test]
fn a_site_of_before_is_refused_in_a_plain_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let private = |file: &str, content: &str| {
        let path = folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    private("site.id", &format!("{}\n", SiteId::random()));
    private("operators.key", "a key");
    let error = Site::open(folder.path()).unwrap_err();
    assert!(matches!(error, SiteError::Older { .. }), "{error}");
}
