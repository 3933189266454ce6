//! A coordinator to attack: its own code behind TLS on loopback, and both ways in: the agent's, and that of
//! whoever writes a claim by hand.

use std::collections::BTreeSet;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use quorate::site::{Clock, Site, Tiding, TokenTerms, serve_enrolment};
use quorate::spec::Role;
use quorate::store::{Approval, Approved, TokenState};
use quorate_agent::enrol::{EnrolError, Enrolment, enrol};
use quorate_agent::host::fake::FakeHost;
use quorate_agent::identity::NodeIdentity;
use quorate_proto::trust::enrol::enrol_client::EnrolClient;
use quorate_proto::trust::enrol::{ClaimReply, ClaimRequest};
use quorate_proto::trust::{ChannelBinding, JoinToken, NodeKey, enrol_channel, prove};
use quorate_proto::{Machine, NodeName};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(super) const FOLDER: &str = "/var/lib/quorate-agent/identity";
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const AUTO: TokenTerms =
    TokenTerms { role: Role::ControlPlane, approval: Approval::Auto, ttl: HOUR };
pub(super) const BY_CODE: TokenTerms = TokenTerms { approval: Approval::Code, ..AUTO };

/// A coordinator that serves enrolment; its clock only moves by hand.
pub(super) struct Coordinator {
    pub(super) site: Arc<Site>,
    pub(super) address: SocketAddr,
    now: Arc<Mutex<SystemTime>>,
    folder: TempDir,
}

impl Coordinator {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let site = Arc::new(Site::create(&folder.path().join("state"), start).unwrap());
        let now = Arc::new(Mutex::new(start));
        let address = serve(&site, &now).await;
        Self { site, address, now, folder }
    }

    /// The same coordinator, killed and started anew.
    pub(super) async fn again(&self) -> Self {
        let state = self.folder.path().join("state");
        let site = Arc::new(Site::open(&state).unwrap());
        let address = serve(&site, &self.now).await;
        let now = Arc::clone(&self.now);
        Self { site, address, now, folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn now(&self) -> SystemTime {
        *self.now.lock().unwrap()
    }

    pub(super) fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    pub(super) fn token(&self, node: &str, terms: &TokenTerms) -> JoinToken {
        let token = self.site.issue_token(&name(node), terms, self.now()).unwrap();
        token.text.expose().parse().unwrap()
    }

    pub(super) fn state(&self, token: &JoinToken) -> TokenState {
        self.site.store().unwrap().token(&token.id()).unwrap().unwrap().state
    }

    pub(super) fn approve(&self, node: &str, code: &str) -> Approved {
        self.site.store().unwrap().approve(&name(node), code, self.now()).unwrap()
    }

    /// The agent's own way in.
    pub(super) async fn enrol(
        &self,
        disk: &FakeHost,
        token: &JoinToken,
    ) -> Result<NodeIdentity, EnrolError> {
        let coordinators = [self.address.to_string()];
        let (folder, wait) = (FOLDER, Duration::from_secs(60));
        let coordinators = coordinators.as_slice();
        enrol(disk, &Enrolment { coordinators, token, folder, wait, tell: &|_| {} }).await
    }

    pub(super) async fn connect(&self, token: &JoinToken) -> (Channel, ChannelBinding) {
        let (channel, binding, _) =
            enrol_channel(&self.address.to_string(), token.pin()).await.unwrap();
        (channel, binding)
    }

    /// A claim with these parts, signed rightly.
    pub(super) async fn claim(
        &self,
        token: &JoinToken,
        csr: Vec<u8>,
        facts: &str,
    ) -> Result<ClaimReply, Status> {
        let (channel, binding) = self.connect(token).await;
        send(channel, prove(token, &binding, csr, facts.to_owned()).unwrap()).await
    }

    pub(super) async fn claim_with(
        &self,
        token: &JoinToken,
        key: &NodeKey,
    ) -> Result<ClaimReply, Status> {
        self.claim(token, key.request().unwrap(), &facts()).await
    }
}

async fn serve(site: &Arc<Site>, now: &Arc<Mutex<SystemTime>>) -> SocketAddr {
    let now = Arc::clone(now);
    let clock: Clock = Arc::new(move || *now.lock().unwrap());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tell = |_: &Tiding| {};
    let site = Arc::clone(site);
    tokio::spawn(serve_enrolment(site, listener, clock, BTreeSet::new(), pending(), tell));
    address
}

pub(super) async fn send(channel: Channel, claim: ClaimRequest) -> Result<ClaimReply, Status> {
    EnrolClient::new(channel).claim(claim).await.map(tonic::Response::into_inner)
}

pub(super) fn name(name: &str) -> NodeName {
    NodeName::try_from(name).unwrap()
}

pub(super) fn key() -> NodeKey {
    NodeKey::generate().unwrap()
}

pub(super) fn facts() -> String {
    serde_json::to_string(&Machine::default()).unwrap()
}

/// The one text of all refusals.
pub(super) fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    status.message().to_owned()
}
