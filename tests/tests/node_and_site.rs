//! A site and its node, for tests of what becomes of their certificates: a real enrolment and a real
//! listener, over a machine in memory.

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
use quorate::fleet::{Channels, GrpcFleet, TrustCalls};
use quorate::site::{
    Clock, NodeCall, RenewError, Renewed, Site, TokenTerms, renew, serve_enrolment,
};
use quorate::spec::{self, ClusterSpec, Role};
use quorate::store::{Approval, StoredCertificate};
use quorate_agent::enrol::{EnrolError, Enrolment, enrol};
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::identity::NodeIdentity;
use quorate_agent::local::Local;
use quorate_agent::trust::Trust;
use quorate_agent::worker::Worker;
use quorate_agent::{server, trust};
use quorate_proto::trust::{
    JoinToken, KeyDigest, NodeKey, Roots, RootsPem, SigningRequest, incoming, read_leaf,
};
use quorate_proto::{NodeName, Secret};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Server;

pub(super) const DAY: Duration = Duration::from_hours(24);
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
pub(super) struct Cluster {
    pub(super) folder: TempDir,
    pub(super) site: Arc<Site>,
    pub(super) host: Arc<FakeHost>,
}

impl Cluster {
    pub(super) async fn enrolled(days_ago: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let then = SystemTime::now() - days_ago * DAY;
        let site = Arc::new(Site::create(&folder.path().join("state"), then).unwrap());
        let host = Arc::new(FakeHost::bare());
        let token = token(&site, then);
        enrol_at(&site, then, &token, &host).await.unwrap();
        Self { folder, site, host }
    }

    /// The authorities that the state folder holds.
    pub(super) fn roots(&self) -> Roots {
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
    pub(super) fn end_certificate(&self) {
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
    pub(super) async fn start(&self) -> SocketAddr {
        start(&self.host).await
    }

    fn channels(&self, address: SocketAddr) -> Channels {
        let known = self.site.known_keys().unwrap();
        let credentials = self.site.run_credentials(SystemTime::now()).unwrap().credentials;
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        Channels::new(&spec_at(address), &self.site.id(), &credentials, &known).unwrap()
    }

    pub(super) fn calls(&self, address: SocketAddr) -> TrustCalls {
        TrustCalls::over(self.channels(address))
    }

    pub(super) fn fleet(&self, address: SocketAddr) -> GrpcFleet {
        GrpcFleet::over(&self.channels(address))
    }

    pub(super) async fn renew(
        &self,
        address: SocketAddr,
        call: NodeCall,
    ) -> Result<Renewed, RenewError> {
        renew(&self.site, &self.calls(address), &cp_1(), call, SystemTime::now()).await
    }

    pub(super) fn keys(&self) -> Vec<KeyDigest> {
        self.site.store().unwrap().keys_of(&cp_1()).unwrap().unwrap_or_default()
    }

    pub(super) async fn shown(&self, address: SocketAddr) -> KeyDigest {
        let status = self.calls(address).status(&cp_1()).await.unwrap();
        read_leaf(&status.certificate.into()).unwrap().1.key
    }
}

/// A token for `cp-1` that needs nobody's approval.
pub(super) fn token(site: &Site, now: SystemTime) -> JoinToken {
    let (role, approval) = (Role::ControlPlane, Approval::Auto);
    let terms = TokenTerms { role, approval, ttl: Duration::from_hours(1) };
    site.issue_token(&cp_1(), &terms, now).unwrap().text.expose().parse().unwrap()
}

/// The machine enrols as `cp-1`, at a coordinator whose clock stands still.
pub(super) async fn enrol_at(
    site: &Arc<Site>,
    then: SystemTime,
    token: &JoinToken,
    host: &FakeHost,
) -> Result<NodeIdentity, EnrolError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The listener's certificate, for which the clock is read first, has to hold now.
    let (first, now) = (AtomicBool::new(true), SystemTime::now());
    let clock: Clock =
        Arc::new(move || if first.swap(false, Ordering::Relaxed) { now } else { then });
    let _serving = tokio::spawn(serve_now(Arc::clone(site), listener, clock));
    let enrolment = Enrolment {
        coordinators: &[address],
        token,
        folder: FOLDER,
        wait: Duration::ZERO,
        tell: &|_| {},
    };
    enrol(host, &enrolment).await
}

async fn serve_now(site: Arc<Site>, listener: TcpListener, clock: Clock) {
    serve_enrolment(site, listener, clock, BTreeSet::new(), pending(), |_| {}).await.unwrap();
}

pub(super) fn cp_1() -> NodeName {
    NodeName::try_from("cp-1").unwrap()
}

pub(super) fn spec_at(address: SocketAddr) -> ClusterSpec {
    let mut spec = spec::parse(SPEC, "cluster.yaml", Path::new("")).unwrap().spec;
    (spec.nodes[0].address, spec.nodes[0].agent_port) = (address.ip(), address.port());
    spec
}

pub(super) async fn start(host: &Arc<FakeHost>) -> SocketAddr {
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
pub(super) async fn killed_after<T>(wakes: usize, process: impl Future<Output = T>) -> Option<T> {
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
