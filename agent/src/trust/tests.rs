//! Bundles at a real listener over loopback TLS, on a disk that may fail between writes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use quorate_proto::audit::{By, Deed, Entry};
use quorate_proto::trust::calls::trust_client::TrustClient;
use quorate_proto::trust::calls::{PutBundleRequest, StatusRequest};
use quorate_proto::trust::{
    ChannelBinding, Contact, Denial, Denied, KeyDigest, NodeKey, OperatorName, Peer, Role,
    RootKeys, Roots, Seen, SigningRequest, SiteId, explain, incoming, node_channel,
};
use quorate_proto::wire::node;
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::{Event, NodeName, in_one_line};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::{Channel, Server};

use super::*;
use crate::audit::Audit;
use crate::executor::{Away, Replies, Request};
use crate::goal;
use crate::host::Files as _;
use crate::host::fake::FakeHost;
use crate::local::Local;
use crate::server;
use crate::worker::Worker;

const HOUR: Duration = Duration::from_hours(1);
const FOLDER: &str = "/identity";

struct Site {
    keys: RootKeys,
    roots: Roots,
    first: TrustBundle,
}

impl Site {
    fn new() -> Self {
        let now = SystemTime::now();
        let keys = RootKeys::create(SiteId::random(), now).unwrap();
        let roots = keys.issue(now).unwrap();
        let first = keys.first_bundle(now);
        Self { keys, roots, first }
    }

    fn identity(&self) -> NodeIdentity {
        let key = NodeKey::generate().unwrap();
        let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
        let issued = self.roots.certify_node(&node_name(), &request, SystemTime::now()).unwrap();
        let granted = self.roots.grant(issued.chain);
        NodeIdentity {
            site: self.roots.site(),
            node: node_name(),
            credentials: granted.credentials(key.to_pem()),
            node_root_pem: granted.node_root_pem(),
            bundle: self.keys.sign(&self.first).unwrap().to_json(),
        }
    }

    /// A bundle that denies this party.
    fn denying(&self, generation: u64, party: &str) -> String {
        let denial = Denial { who: Denied::Party(party.to_owned()), until: i64::MAX };
        let bundle = TrustBundle { generation, deny: vec![denial], ..self.first.clone() };
        self.keys.sign(&bundle).unwrap().to_json()
    }

    fn channel(&self, name: &str, address: SocketAddr) -> Channel {
        let name = OperatorName::try_from(name).unwrap();
        let credentials = self.roots.operator(&name, Role::Admin, HOUR, SystemTime::now()).unwrap();
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        node_channel(address, &node_name(), &self.roots.site(), credentials).unwrap()
    }
}

fn node_name() -> NodeName {
    NodeName::try_from("cp-1").unwrap()
}

/// With the audit log on the same machine.
async fn open(host: &Arc<FakeHost>, identity: NodeIdentity) -> Arc<Trust> {
    let worker = Worker::open(Arc::<FakeHost>::clone(host), goal::of, "/state").await.unwrap();
    let host = Arc::<FakeHost>::clone(host);
    Arc::new(Trust::open(host, Arc::new(Local(worker)), FOLDER, identity).unwrap())
}

/// With the audit log on a machine that nothing happens to.
async fn open_apart(host: &Arc<FakeHost>, identity: NodeIdentity) -> Arc<Trust> {
    let worker = Worker::open(Arc::new(FakeHost::bare()), goal::of, "/state").await.unwrap();
    let host = Arc::<FakeHost>::clone(host);
    Arc::new(Trust::open(host, Arc::new(Local(worker)), FOLDER, identity).unwrap())
}

async fn bare(site: &Site) -> Arc<Trust> {
    open(&Arc::new(FakeHost::bare()), site.identity()).await
}

fn bob() -> Caller {
    let operator = OperatorName::try_from("bob").unwrap();
    Caller { operator, address: "10.0.0.9:40000".parse().unwrap() }
}

async fn serve(trust: &Arc<Trust>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(server::service(Arc::clone(&trust.executor), node_name(), trust.access()))
        .add_service(service(Arc::clone(trust)));
    tokio::spawn(server.serve_with_incoming(incoming(listener, trust.config())));
    address
}

async fn describe(channel: &Channel) -> Result<(), tonic::Status> {
    NodeClient::new(channel.clone()).describe(node::DescribeRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_denied_operator_is_refused_at_the_next_call_and_at_the_next_handshake() {
    let site = Site::new();
    let trust = bare(&site).await;
    let address = serve(&trust).await;
    let (alice, bob) = (site.channel("alice", address), site.channel("bob", address));
    describe(&alice).await.unwrap();
    let bundle = site.denying(2, "operator:alice");
    let put = TrustClient::new(bob.clone()).put_bundle(PutBundleRequest { bundle }).await;
    assert_eq!(put.unwrap().into_inner().generation, 2);

    let status = describe(&alice).await.unwrap_err();
    assert_eq!((status.code(), explain(&status)), (Code::Unauthenticated, Contact::Answered));
    assert!(status.message().contains("it is denied"), "{status:?}");
    let status = describe(&site.channel("alice", address)).await.unwrap_err();
    assert!(matches!(explain(&status), Contact::Stranger { .. }), "{status:?}");
    describe(&bob).await.unwrap();
}

#[tokio::test]
async fn an_open_stream_ends_when_a_bundle_denies_who_follows_it() {
    let site = Site::new();
    let trust = bare(&site).await;
    let name = OperatorName::try_from("alice").unwrap();
    let alice = site.roots.operator(&name, Role::Admin, HOUR, SystemTime::now()).unwrap();
    let key = alice.key_digest().unwrap();
    let peer = Peer {
        identity: Some(alice.identity().unwrap()),
        seen: Some(Seen { key, serial: "01".to_owned(), not_before: 0, not_after: i64::MAX }),
        address: "127.0.0.1:1".parse().unwrap(),
        binding: ChannelBinding([0; 32]),
    };
    let events = stream::pending::<Result<Event, tonic::Status>>().boxed();
    let refused = trust.access().refused(Some(peer)).boxed();
    let mut open = server::until_refused(events, refused);
    assert!(open.next().now_or_never().is_none());
    trust.put(&bob(), &site.denying(2, "operator:bob")).await.unwrap();
    assert!(open.next().now_or_never().is_none(), "somebody else is denied");
    trust.put(&bob(), &site.denying(3, "operator:alice")).await.unwrap();
    let last = open.next().await.unwrap().unwrap_err();
    assert_eq!(last.code(), Code::Unauthenticated);
    assert!(open.next().await.is_none());
}

#[tokio::test]
async fn the_highest_generation_outlives_the_agent_and_no_lower_one_replaces_it() {
    let (site, host) = (Site::new(), Arc::new(FakeHost::bare()));
    site.identity().store(&*host, FOLDER).await.unwrap();
    let open =
        async || open(&host, NodeIdentity::load(&*host, FOLDER).await.unwrap().unwrap()).await;
    let trust = open().await;
    assert_eq!(trust.generation(), 1);
    // The disk fails: nothing counts that is not on it.
    host.interrupt_after(0);
    let failed = trust.put(&bob(), &site.denying(5, "operator:mallory")).await;
    assert!(matches!(failed, Err(PutError::Keep(_))), "{failed:?}");
    assert!(host.revive());
    assert_eq!((trust.generation(), open().await.generation()), (1, 1));

    let newest = site.denying(5, "operator:mallory");
    assert_eq!(trust.put(&bob(), &newest).await.unwrap(), 5);
    assert_eq!(trust.put(&bob(), &newest).await.unwrap(), 5, "again");
    let again = open().await;
    assert_eq!(again.generation(), 5);
    for lower in [1, 4, 5] {
        let refused = again.put(&bob(), &site.denying(lower, "operator:bob")).await;
        assert!(matches!(refused, Err(PutError::Refused(_))), "{lower}: {refused:?}");
    }
    let forged = Site::new().denying(9, "operator:bob");
    assert!(matches!(
        again.put(&bob(), &forged).await,
        Err(PutError::Refused(BundleError::Signature))
    ));
    assert_eq!(open().await.generation(), 5);
}

#[tokio::test]
async fn a_bundle_is_in_the_audit_log_before_it_counts_and_what_is_not_does_not_count() {
    let (site, host) = (Site::new(), Arc::new(FakeHost::bare()));
    site.identity().store(&*host, FOLDER).await.unwrap();
    let kept = || host.state().text(&path(FOLDER, BUNDLE));
    let first = kept();
    let trust = open(&host, site.identity()).await;
    // The disk dies behind the line: what was about to be done is known.
    host.interrupt_after(0);
    trust.put(&bob(), &site.denying(5, "operator:alice")).await.unwrap_err();
    host.revive();
    let lines = Audit::lines(&*host, "/state/audit", 1, &mut None).await.unwrap().unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let Entry { deed, .. } = serde_json::from_str(line).unwrap();
    let by = By { operator: "bob".to_owned(), address: "10.0.0.9:40000".to_owned() };
    assert_eq!(deed, Deed::Keeps { by, own: Own::Bundle { generation: 5 } });
    // What is refused, and what is kept already, is not worth a line.
    trust.put(&bob(), "{}").await.unwrap_err();
    trust.put(&bob(), &first).await.unwrap();
    assert_eq!(Audit::open(&*host, "/state").await.head().unwrap().seq, 2);

    let log = "/state/audit/000000000001.jsonl";
    let damaged = host.state().text(log).replacen("\"seq\":1", "\"seq\":3", 1);
    host.state().put(log, &damaged);
    let trust = open(&host, site.identity()).await;
    let refused = trust.put(&bob(), &site.denying(5, "operator:alice")).await.unwrap_err();
    let told = in_one_line(&refused);
    assert!(told.contains("the audit log in /state/audit is damaged"), "{told}");
    assert_eq!((trust.generation(), kept()), (1, first.clone()));

    let away =
        Trust::open(Arc::<FakeHost>::clone(&host), Arc::new(Nobody), FOLDER, site.identity());
    let refused = away.unwrap().put(&bob(), &site.denying(5, "operator:alice")).await.unwrap_err();
    assert!(matches!(refused, PutError::Unrecorded(NotRecorded::Away(_))), "{refused:?}");
    assert_eq!(kept(), first);
}

/// An executor that is not there.
struct Nobody;

impl Execute for Nobody {
    fn call(&self, _: Request) -> Replies {
        stream::iter([Err(Away::Closed)]).boxed()
    }
}
/// What the coordinator makes of a certificate request.
fn certified(site: &Site, csr: &[u8]) -> Vec<CertificateDer<'static>> {
    let request = SigningRequest::from_der(csr).unwrap();
    site.roots.certify_node(&node_name(), &request, SystemTime::now()).unwrap().chain
}

async fn renew(site: &Site, trust: &Trust) -> Result<KeyDigest, RenewError> {
    let chain = certified(site, &trust.begin_renewal().await?);
    trust.finish_renewal(&bob(), &chain).await?;
    Ok(KeyDigest::of_certificate(&chain[0]).unwrap())
}

#[tokio::test]
async fn a_renewal_that_is_killed_anywhere_leaves_an_identity_and_goes_on() {
    let site = Site::new();
    // The next key, the certificate, the key in its place, and what is left of it. A second renewal that
    // tidies up after the first has two changes more.
    for (changes, more) in (0..=4).flat_map(|changes| (0..=6).map(move |more| (changes, more))) {
        let host = Arc::new(FakeHost::bare());
        let enrolled = site.identity();
        enrolled.store(&*host, FOLDER).await.unwrap();
        let old = enrolled.credentials.key_digest().unwrap();
        let open = async || {
            let identity = NodeIdentity::load(&*host, FOLDER).await.unwrap().unwrap();
            let key = identity.credentials.key_digest().unwrap();
            (open_apart(&host, identity).await, key)
        };
        host.interrupt_after(changes);
        let first = renew(&site, &open().await.0).await;
        assert!(host.revive(), "{changes}: there were fewer changes");
        // What is killed after the certificate is on the disk has the new key.
        let (trust, key) = open().await;
        assert_eq!(first.is_ok(), changes >= 2, "{changes}");
        assert_eq!(first.unwrap_or(old), key, "{changes}");

        host.interrupt_after(more);
        let second = renew(&site, &trust).await;
        host.revive();
        let (trust, again) = open().await;
        assert_eq!(second.unwrap_or(key), again, "{changes} {more}");

        let third = renew(&site, &trust).await.unwrap();
        assert_eq!(open().await.1, third, "{changes} {more}");
        assert!(![old, key, again].contains(&third), "a new key each time");
        let kept: Vec<String> = host.list(FOLDER).await.unwrap();
        assert!(!kept.contains(&"next.key".to_owned()), "{kept:?}");
        for name in kept {
            assert_eq!(host.state().modes[&format!("{FOLDER}/{name}")], 0o600, "{name}");
        }
    }
}

#[tokio::test]
async fn what_was_begun_is_asked_for_again_and_a_lost_answer_is_no_harm() {
    let (site, host) = (Site::new(), Arc::new(FakeHost::bare()));
    site.identity().store(&*host, FOLDER).await.unwrap();
    let trust = open(&host, site.identity()).await;
    let key_of = |csr: &[u8]| SigningRequest::from_der(csr).unwrap().key_digest();
    let unasked = NodeKey::generate().unwrap().request().unwrap();
    let nothing = trust.finish_renewal(&bob(), &certified(&site, &unasked)).await;
    assert!(matches!(nothing, Err(RenewError::NotBegun)), "{nothing:?}");
    let csr = trust.begin_renewal().await.unwrap();
    let again = trust.begin_renewal().await.unwrap();
    assert_eq!(key_of(&csr), key_of(&again));

    let before = trust.certificate().unwrap();
    let stranger = Site::new();
    for wrong in [certified(&stranger, &csr), Vec::new()] {
        assert!(matches!(trust.finish_renewal(&bob(), &wrong).await, Err(RenewError::Refused(_))));
    }
    assert_eq!(trust.certificate().unwrap(), before);
    let chain = certified(&site, &csr);
    trust.finish_renewal(&bob(), &chain).await.unwrap();
    trust.finish_renewal(&bob(), &chain).await.unwrap();
    assert_eq!(trust.certificate().unwrap(), chain[0]);
}

#[tokio::test]
async fn under_load_no_call_fails_and_open_connections_go_on() {
    let (site, host) = (Arc::new(Site::new()), Arc::new(FakeHost::bare()));
    site.identity().store(&*host, FOLDER).await.unwrap();
    let identity = NodeIdentity::load(&*host, FOLDER).await.unwrap().unwrap();
    let trust = open(&host, identity).await;
    let address = serve(&trust).await;
    let open = site.channel("alice", address);
    describe(&open).await.unwrap();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (site, open) = (Arc::clone(&site), open.clone());
            tokio::spawn(async move {
                for _ in 0..10 {
                    describe(&open).await.unwrap();
                    describe(&site.channel("alice", address)).await.unwrap();
                }
            })
        })
        .collect();
    let mut newest = None;
    for _ in 0..5 {
        newest = Some(renew(&site, &trust).await.unwrap());
        tokio::task::yield_now().await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    describe(&open).await.unwrap();
    let shown = TrustClient::new(site.channel("alice", address)).status(StatusRequest {}).await;
    let shown = shown.unwrap().into_inner().certificate.into();
    assert_eq!(KeyDigest::of_certificate(&shown).ok(), newest);
}
