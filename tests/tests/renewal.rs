//! Nodes get new certificates: the coordinator's own code against the agent's, over TLS, with either of
//! them killed at any moment; and what a clone meets afterwards.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use quorate::fleet::{Fleet as _, FleetError, GrpcFleet, TrustCalls};
use quorate::site::{
    Clock, NodeCall, RenewError, Renewed, Site, TokenTerms, renew, renew_all, serve_enrolment,
};
use quorate::spec::{self, ClusterSpec, Role};
use quorate::store::{Approval, StoredCertificate};
use quorate_agent::enrol::{Enrolment, enrol};
use quorate_agent::executor::Local;
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::identity::NodeIdentity;
use quorate_agent::trust::Trust;
use quorate_agent::worker::Worker;
use quorate_agent::{server, trust};
use quorate_proto::trust::{
    KeyDigest, NodeKey, Roots, RootsPem, SigningRequest, incoming, read_leaf,
};
use quorate_proto::{NodeName, Secret};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Server;

const DAY: Duration = Duration::from_hours(24);
const FOLDER: &str = "/identity";
const SPEC: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
";

/// A site, and its node `cp-1`, which enrolled some days ago.
struct Cluster {
    folder: TempDir,
    site: Arc<Site>,
    host: Arc<FakeHost>,
}

impl Cluster {
    async fn enrolled(days_ago: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let then = SystemTime::now() - days_ago * DAY;
        let site = Arc::new(Site::create(&folder.path().join("state"), then).unwrap());
        let (role, approval) = (Role::ControlPlane, Approval::Auto);
        let terms = TokenTerms { role, approval, ttl: Duration::from_hours(1) };
        let token = site.issue_token(&cp_1(), &terms, then).unwrap().text;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // The listener's certificate, for which the clock is read first, has to hold now.
        let (first, now) = (AtomicBool::new(true), SystemTime::now());
        let clock: Clock =
            Arc::new(move || if first.swap(false, Ordering::Relaxed) { now } else { then });
        let _serving = tokio::spawn(serve_now(Arc::clone(&site), listener, clock));
        let host = Arc::new(FakeHost::bare());
        let enrolment = Enrolment {
            coordinators: &[address],
            token: &token.expose().parse().unwrap(),
            folder: FOLDER,
            wait: Duration::ZERO,
            tell: &|_| {},
        };
        enrol(&*host, &enrolment).await.unwrap();
        Self { folder, site, host }
    }

    /// The authorities that the state folder holds.
    fn roots(&self) -> Roots {
        let folder = self.folder.path().join("state/authorities");
        let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let both = |name: &str| {
            let text = file(name);
            let (key, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
            (Secret::new(key.to_owned()), certificate.to_owned())
        };
        let (operators_key_pem, operators_issuing_pem) = both("operators-issuing.pem");
        let (nodes_key_pem, nodes_issuing_pem) = both("nodes-issuing.pem");
        let pem = RootsPem {
            operators_pem: file("operators.crt"),
            operators_issuing_pem,
            operators_key_pem,
            nodes_pem: file("nodes.crt"),
            nodes_issuing_pem,
            nodes_key_pem,
        };
        Roots::load(self.site.id(), &pem).unwrap()
    }

    /// The node has a certificate that ended yesterday, and the store knows it.
    fn end_certificate(&self) {
        let then = SystemTime::now() - 91 * DAY;
        let key = NodeKey::generate().unwrap();
        let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
        let roots = self.roots();
        let issued = roots.certify_node(&cp_1(), &request, then).unwrap();
        let der = issued.chain[0].to_vec();
        let credentials = roots.grant(issued.chain).credentials(key.to_pem());
        self.host.state().put("/identity/chain.pem", &credentials.chain_pem);
        self.host.state().put("/identity/key.pem", credentials.key_pem.expose());
        let certificate = StoredCertificate { der, issued_at: 0, not_after: 0 };
        let known = (&key.key_digest(), &certificate);
        let mut store = self.site.store().unwrap();
        assert!(store.renew(&cp_1(), known, known).unwrap());
        store.settle_renewal(&cp_1(), &key.key_digest()).unwrap();
    }

    /// The agent as it starts from its disk.
    async fn start(&self) -> SocketAddr {
        start(&self.host).await
    }

    fn calls(&self, address: SocketAddr) -> TrustCalls {
        let known = self.site.known_keys().unwrap();
        let credentials = self.site.run_credentials(SystemTime::now()).unwrap().credentials;
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        TrustCalls::new(&spec_at(address), &self.site.id(), &credentials, &known).unwrap()
    }

    fn fleet(&self, address: SocketAddr) -> GrpcFleet {
        let known = self.site.known_keys().unwrap();
        let credentials = self.site.run_credentials(SystemTime::now()).unwrap().credentials;
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        GrpcFleet::knowing(&spec_at(address), &self.site.id(), &credentials, &known).unwrap()
    }

    async fn renew(&self, address: SocketAddr, call: NodeCall) -> Result<Renewed, RenewError> {
        renew(&self.site, &self.calls(address), &cp_1(), call, SystemTime::now()).await
    }

    fn keys(&self) -> Vec<KeyDigest> {
        self.site.store().unwrap().keys_of(&cp_1()).unwrap().unwrap_or_default()
    }

    async fn shown(&self, address: SocketAddr) -> KeyDigest {
        let status = self.calls(address).status(&cp_1()).await.unwrap();
        read_leaf(&status.certificate.into()).unwrap().1.key
    }
}

async fn serve_now(site: Arc<Site>, listener: TcpListener, clock: Clock) {
    serve_enrolment(site, listener, clock, BTreeSet::new(), pending(), |_| {}).await.unwrap();
}

fn cp_1() -> NodeName {
    NodeName::try_from("cp-1").unwrap()
}

fn spec_at(address: SocketAddr) -> ClusterSpec {
    let mut spec = spec::parse(SPEC, "cluster.yaml", Path::new("")).unwrap().spec;
    (spec.nodes[0].address, spec.nodes[0].agent_port) = (address.ip(), address.port());
    spec
}

async fn start(host: &Arc<FakeHost>) -> SocketAddr {
    let identity = NodeIdentity::load(&**host, FOLDER).await.unwrap().unwrap();
    let worker = Worker::open(Arc::new(FakeHost::bare()), goal::of, "/state").await.unwrap();
    let executor = Arc::new(Local(worker));
    let host = Arc::<FakeHost>::clone(host);
    let trust = Trust::open(host, Arc::<Local>::clone(&executor), FOLDER, identity).unwrap();
    let trust = Arc::new(trust);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = incoming(listener, trust.config());
    let server = Server::builder()
        .add_service(server::service(executor, cp_1(), trust.access()))
        .add_service(trust::service(trust));
    tokio::spawn(server.serve_with_incoming(connections));
    address
}

/// A process that is killed after it was woken so many times; `None` if it was.
async fn killed_after<T>(wakes: usize, process: impl Future<Output = T>) -> Option<T> {
    let mut process = pin!(process);
    let mut left = wakes;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        process.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn a_third_of_its_life_over_a_node_gets_a_new_certificate_and_no_sooner() {
    let cluster = Cluster::enrolled(29).await;
    let address = cluster.start().await;
    let old = cluster.keys();
    assert!(matches!(cluster.renew(address, NodeCall::WhenDue).await, Ok(Renewed::NotDue(_))));
    assert_eq!(cluster.keys(), old);

    let cluster = Cluster::enrolled(31).await;
    let address = cluster.start().await;
    let old = cluster.keys();
    let calls = cluster.calls(address);
    let renewed =
        renew_all(&cluster.site, &calls, [cp_1()].into(), NodeCall::WhenDue, SystemTime::now());
    let [(_, Ok(Renewed::Until(ends)))] = renewed.await[..] else { panic!("not renewed") };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let left = Duration::from_secs(u64::try_from(ends).unwrap()) - now;
    assert!(left > 89 * DAY, "{left:?}");
    let new = cluster.keys();
    assert!(new.len() == 1 && new != old, "{new:?}");
    assert_eq!(cluster.shown(address).await, new[0]);
    let again = cluster.renew(address, NodeCall::WhenDue).await;
    assert!(matches!(again, Ok(Renewed::NotDue(_))), "{again:?}");
}

#[tokio::test]
async fn an_agent_that_is_killed_anywhere_in_a_renewal_is_renewed_by_the_next() {
    for changes in 0..=4 {
        let cluster = Cluster::enrolled(1).await;
        let old = cluster.keys();
        let address = cluster.start().await;
        cluster.host.interrupt_after(changes);
        let first = cluster.renew(address, NodeCall::Now).await;
        assert!(cluster.host.revive(), "{changes}: there were fewer changes");
        assert_eq!(first.is_ok(), changes >= 2, "{changes}: {first:?}");
        let address = cluster.start().await;
        // Whatever it shows now, it is taken.
        let key = cluster.shown(address).await;
        assert!(cluster.keys().contains(&key), "{changes}");
        cluster.renew(address, NodeCall::WhenDue).await.unwrap();
        cluster.renew(address, NodeCall::Now).await.unwrap();
        let new = cluster.keys();
        assert!(new.len() == 1 && new != old, "{changes}: {new:?}");
        assert_eq!(cluster.shown(address).await, new[0], "{changes}");
    }
}

#[tokio::test]
async fn a_coordinator_that_is_killed_anywhere_in_a_renewal_goes_on_when_run_again() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let mut cut_between = 0;
    for wakes in 0.. {
        let before = cluster.keys();
        let first = killed_after(wakes, cluster.renew(address, NodeCall::Now)).await;
        cut_between += usize::from(cluster.keys().len() > 1);
        let key = cluster.shown(address).await;
        assert!(cluster.keys().contains(&key), "{wakes}");
        // One that was begun is finished, whether it is due or not.
        cluster.renew(address, NodeCall::WhenDue).await.unwrap();
        let after = cluster.keys();
        assert_eq!(after.len(), 1, "{wakes}");
        assert_eq!(cluster.shown(address).await, after[0], "{wakes}");
        if let Some(first) = first {
            first.unwrap();
            assert_ne!(after, before);
            break;
        }
    }
    assert!(cut_between > 0, "never between the record and the end");
}

#[tokio::test]
async fn a_copy_of_a_renewed_node_is_in_quarantine_and_says_so() {
    let cluster = Cluster::enrolled(1).await;
    let copy = Arc::new(FakeHost::bare());
    for (path, content) in cluster.host.state().files.clone() {
        copy.state().files.insert(path, content);
    }
    let (address, copied) = (cluster.start().await, start(&copy).await);
    // Both are taken until one of them is renewed; a fleet from before learns of it.
    let (fleet, clones) = (cluster.fleet(address), cluster.fleet(copied));
    cluster.renew(address, NodeCall::Now).await.unwrap();
    fleet.describe(&cp_1(), None).await.unwrap();
    let error = clones.describe(&cp_1(), None).await.unwrap_err();
    let FleetError::Stranger { why, .. } = &error else { panic!("{error:?}") };
    for told in
        ["a clone", "in quarantine", "off the network", "reset --identity", "node token cp-1"]
    {
        assert!(why.contains(told), "{told}: {why}");
    }
    for call in [NodeCall::Now, NodeCall::Recover] {
        let error = cluster.renew(copied, call).await.unwrap_err();
        assert!(matches!(error, RenewError::Fleet(FleetError::Stranger { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn after_the_loss_of_the_store_a_renewal_makes_the_node_known_again() {
    let cluster = Cluster::enrolled(1).await;
    let address = cluster.start().await;
    let state = cluster.folder.path().join("state");
    for file in ["store.sqlite", "store.sqlite-wal", "store.sqlite-shm"] {
        std::fs::remove_file(state.join(file)).ok();
    }
    assert!(cluster.keys().is_empty());
    // The first one dies with the answer on its way: the certificate that the node has must do.
    cluster.host.interrupt_after(1);
    cluster.renew(address, NodeCall::Now).await.unwrap_err();
    assert!(cluster.host.revive());
    assert!(cluster.keys().contains(&cluster.shown(address).await));
    cluster.renew(address, NodeCall::Now).await.unwrap();
    assert_eq!(cluster.keys(), [cluster.shown(address).await]);
}

#[tokio::test]
async fn a_node_whose_certificate_has_ended_is_recovered_by_its_known_key_alone() {
    let cluster = Cluster::enrolled(85).await;
    cluster.end_certificate();
    let address = cluster.start().await;
    let error = cluster.renew(address, NodeCall::Now).await.unwrap_err();
    assert!(error.why().contains("trust renew --recover"), "{error:?}");
    assert!(matches!(cluster.renew(address, NodeCall::Recover).await, Ok(Renewed::Until(_))));
    assert_eq!(cluster.keys(), [cluster.shown(address).await]);

    cluster.site.store().unwrap().retire_node(&cp_1()).unwrap();
    let error = cluster.renew(address, NodeCall::Recover).await.unwrap_err();
    assert!(matches!(error, RenewError::NoKey(_)), "{error:?}");
}
