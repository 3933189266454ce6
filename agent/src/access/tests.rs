//! Every call by everybody, through the real service over loopback TLS.
//!
//! Certificates that our own code would not make are forged with the key of the operators' authority.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use quorate_proto::goal::{ClusterGoal, HostGoal, NodeRemoval};
use quorate_proto::trust::calls::trust_client::TrustClient;
use quorate_proto::trust::{
    Contact, Credentials, NodeKey, OperatorName, Role, Roots, SigningRequest, calls, explain,
    incoming, node_channel,
};
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::wire::{Cancellation, Order, node};
use quorate_proto::{Goal, NodeName, OperationId, RunId, Secret, Term};
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};

use super::*;
use crate::goal;
use crate::host::fake::FakeHost;
use crate::identity::NodeIdentity;
use crate::local::Local;
use crate::server;
use crate::trust::Trust;
use crate::worker::Worker;

const HOUR: Duration = Duration::from_hours(1);

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The service took it, whatever came of it.
    Taken,
    /// The service refused its sender.
    Denied,
    /// There was no connection to make it on.
    NoConnection,
}

fn node_name() -> NodeName {
    NodeName::try_from("cp-1").unwrap()
}

fn granted(roots: &Roots, node: &NodeName) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(node, &request, SystemTime::now()).unwrap();
    let granted = roots.grant(issued.chain);
    granted.credentials(key.to_pem())
}

async fn serve(roots: &Roots) -> SocketAddr {
    let host = Arc::new(FakeHost::bare());
    let identity = NodeIdentity {
        site: roots.site(),
        node: node_name(),
        credentials: granted(roots, &node_name()),
        node_root_pem: roots.to_pem().nodes_pem,
        bundle: String::new(),
    };
    let worker = Worker::open(Arc::<FakeHost>::clone(&host), goal::of, "/state").await.unwrap();
    let executor = Arc::new(Local(worker));
    let trust = Trust::open(host, Arc::<Local>::clone(&executor), "/identity", identity).unwrap();
    let trust = Arc::new(trust);
    let service = server::service(executor, node_name(), trust.access());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = incoming(listener, trust.config());
    let server = Server::builder().add_service(service).add_service(crate::trust::service(trust));
    tokio::spawn(server.serve_with_incoming(connections));
    address
}

/// What a certificate says that we would not sign.
struct Forgery<'a> {
    names: &'a [&'a str],
    from: SystemTime,
    lifetime: Duration,
}

/// Signed by the operators' authority of the site all the same.
fn forged(roots: &Roots, forgery: &Forgery<'_>) -> Credentials {
    let pem = roots.to_pem();
    let signer = KeyPair::from_pem(pem.operators_key_pem.expose()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&pem.operators_issuing_pem, signer).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = forgery.from.into();
    params.not_after = (forgery.from + forgery.lifetime).into();
    let site = roots.site();
    let uri =
        |tail: &&str| SanType::URI(format!("urn:quorate:site:{site}:{tail}").try_into().unwrap());
    params.subject_alt_names = forgery.names.iter().map(uri).collect();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Credentials {
        chain_pem: leaf.pem() + &pem.operators_issuing_pem,
        key_pem: Secret::new(key.serialize_pem()),
        peer_roots_pem: pem.nodes_pem,
    }
}

fn channel(roots: &Roots, credentials: Credentials, address: SocketAddr) -> Channel {
    let credentials = Arc::new(ArcSwap::from_pointee(credentials));
    node_channel(address, &node_name(), &roots.site(), credentials).unwrap()
}

/// A message whose metadata claims what no certificate says.
fn boasting<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    for name in ["role", "x-role", "x-quorate-role", "authorization"] {
        request.metadata_mut().insert(name, "admin".parse().unwrap());
    }
    request
}

fn order(goal: Goal) -> node::EnsureRequest {
    let operation = OperationId("1".to_owned());
    (&Order { operation, term: term(), goal, material: None }).into()
}

fn term() -> Term {
    Term { number: 1, run: RunId("r".to_owned()) }
}

async fn make(right: Right, channel: &Channel) -> End {
    let mut client = NodeClient::new(channel.clone());
    let mut trust = TrustClient::new(channel.clone());
    let operation = OperationId("1".to_owned());
    let result = match right {
        Right::Describe => client.describe(boasting(None.into())).await.map(drop),
        Right::Claim => client.describe(boasting(Some(&term()).into())).await.map(drop),
        Right::Check => client
            .check(boasting([Goal::Host(HostGoal::SwapOff)].as_slice().into()))
            .await
            .map(drop),
        Right::Ensure => {
            client.ensure(boasting(order(Goal::Host(HostGoal::SwapOff)))).await.map(drop)
        }
        Right::Remove => {
            let removal = NodeRemoval { node: node_name(), alive: false };
            client
                .ensure(boasting(order(Goal::Cluster(ClusterGoal::NodeRemoved(removal)))))
                .await
                .map(drop)
        }
        Right::Cancel => {
            let cancellation = Cancellation { operation, term: term() };
            client.cancel(boasting((&cancellation).into())).await.map(drop)
        }
        Right::Kubeconfig => {
            client.kubeconfig(boasting(node::KubeconfigRequest {})).await.map(drop)
        }
        Right::Audit => client.audit(boasting(node::AuditRequest { after: 0 })).await.map(drop),
        Right::TrustStatus => trust.status(boasting(calls::StatusRequest {})).await.map(drop),
        Right::PutBundle => {
            trust.put_bundle(boasting(calls::PutBundleRequest::default())).await.map(drop)
        }
        Right::BeginRenewal => {
            trust.begin_renewal(boasting(calls::BeginRenewalRequest {})).await.map(drop)
        }
        Right::FinishRenewal => {
            let request = calls::FinishRenewalRequest::default();
            trust.finish_renewal(boasting(request)).await.map(drop)
        }
    };
    let Err(status) = result else { return End::Taken };
    match (explain(&status), status.code()) {
        (Contact::Answered, Code::PermissionDenied | Code::Unauthenticated) => End::Denied,
        (Contact::Answered, _) => End::Taken,
        (Contact::Silent { .. } | Contact::Stranger { .. }, _) => End::NoConnection,
    }
}

#[tokio::test]
async fn each_role_may_make_its_calls_and_no_other() {
    let roots = Roots::create(SiteId::random(), SystemTime::now()).unwrap();
    let address = serve(&roots).await;
    let alice = OperatorName::try_from("alice").unwrap();
    for role in Role::ALL {
        let credentials = roots.operator(&alice, role, HOUR, SystemTime::now()).unwrap();
        let channel = channel(&roots, credentials, address);
        for right in Right::ALL {
            let expected = if role >= right.least() { End::Taken } else { End::Denied };
            assert_eq!(make(right, &channel).await, expected, "{role}: {right:?}");
        }
    }
}

#[tokio::test]
async fn whoever_is_no_operator_of_one_known_role_makes_no_call() {
    let now = SystemTime::now();
    let roots = Roots::create(SiteId::random(), now).unwrap();
    let other = Roots::create(roots.site(), now).unwrap();
    let address = serve(&roots).await;
    let alice = OperatorName::try_from("alice").unwrap();

    let mut foreign = other.operator(&alice, Role::Admin, HOUR, now).unwrap();
    foreign.peer_roots_pem = roots.to_pem().nodes_pem;
    let mut node = granted(&roots, &NodeName::try_from("cp-2").unwrap());
    node.peer_roots_pem = roots.to_pem().nodes_pem;
    let forged =
        |names: &[&str], from, lifetime| forged(&roots, &Forgery { names, from, lifetime });
    let admin = "operator:alice:role:admin";
    let cases = [
        ("another root", foreign),
        ("a node", node),
        ("no role", forged(&["operator:alice"], now, HOUR)),
        ("no name", forged(&[], now, HOUR)),
        ("an unknown role", forged(&["operator:alice:role:root"], now, HOUR)),
        ("upper case", forged(&["operator:alice:role:ADMIN"], now, HOUR)),
        ("two roles", forged(&["operator:alice:role:viewer", admin], now, HOUR)),
        ("two roles in one", forged(&["operator:alice:role:viewer:role:admin"], now, HOUR)),
        ("the coordinator", forged(&["coordinator"], now, HOUR)),
        ("expired", forged(&[admin], now - 2 * HOUR, HOUR)),
        ("not valid yet", forged(&[admin], now + HOUR, HOUR)),
        ("a year", forged(&[admin], now, 365 * 24 * HOUR)),
    ];
    for (who, credentials) in cases {
        let channel = channel(&roots, credentials, address);
        for right in Right::ALL {
            assert_eq!(make(right, &channel).await, End::NoConnection, "{who}: {right:?}");
        }
    }
    // The forger's own work is good: only what it says is refused.
    let good = channel(&roots, forged(&[admin], now, HOUR), address);
    assert_eq!(make(Right::Kubeconfig, &good).await, End::Taken);
}

#[tokio::test]
async fn a_refusal_says_what_it_takes_and_who_gives_it() {
    let now = SystemTime::now();
    let roots = Roots::create(SiteId::random(), now).unwrap();
    let alice = OperatorName::try_from("alice").unwrap();
    let viewer = roots.operator(&alice, Role::Viewer, HOUR, now).unwrap();
    let channel = channel(&roots, viewer, serve(&roots).await);
    let request = node::KubeconfigRequest {};
    let status = NodeClient::new(channel).kubeconfig(request).await.unwrap_err();
    assert_eq!(
        status.message(),
        "the admin kubeconfig takes the role admin, and alice is a viewer here; whoever has the \
         site's state folder gives it with `quorate operator issue alice --role admin`"
    );
}
