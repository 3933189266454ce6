//! The daemon over real mutual TLS on loopback.

mod canaries;

use std::time::SystemTime;

use arc_swap::ArcSwap;
use futures_util::{FutureExt as _, StreamExt as _};
use quorate_proto::goal::HostGoal;
use quorate_proto::trust::{
    Credentials, NodeKey, OperatorName, Role, Roots, SigningRequest, SiteId, node_channel,
    server_config,
};
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::wire::{Order, node};
use quorate_proto::{Event, Facts, Finding, Goal, NodeName, OperationId, RunId, Term};
use tokio::net::{TcpListener, UnixListener};

use super::*;
use crate::access::Access;
use crate::executor;
use crate::goal;
use crate::host::fake::FakeHost;
use crate::host::linux::socket::Admission;
use crate::local::Local;
use crate::worker::Worker;

fn now() -> SystemTime {
    SystemTime::now()
}

fn node_credentials(roots: &Roots, node: &NodeName) -> Credentials {
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(node, &request, now()).unwrap();
    let granted = roots.grant(issued.chain);
    granted.credentials(key.to_pem())
}

#[tokio::test]
async fn an_operator_gives_orders_over_tls_and_the_agent_stops_when_told() {
    let host: Arc<dyn Host> = Arc::new(FakeHost::bare());
    let worker = Worker::open(host, goal::of, "/state").await.unwrap();
    orders_are_carried_out_by(Arc::new(Local(worker))).await;
}

#[tokio::test]
async fn the_same_goes_through_the_socket_of_an_executor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let host: Arc<dyn Host> = Arc::new(FakeHost::bare());
    let worker = Worker::open(host, goal::of, "/state").await.unwrap();
    let socket = UnixListener::bind(&path).unwrap();
    tokio::spawn(executor::listen(socket, Admission::of_this_process(), Arc::new(Local(worker))));
    orders_are_carried_out_by(Arc::new(OverSocket::at(path))).await;
}

async fn orders_are_carried_out_by(executor: Arc<dyn Execute>) {
    let (site, name) = (SiteId::random(), NodeName::try_from("cp-1").unwrap());
    let roots = Roots::create(site, now()).unwrap();
    let host: Arc<dyn Host> = Arc::new(FakeHost::bare());
    let config = server_config(&node_credentials(&roots, &name)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let (stop, stopped) = oneshot::channel::<()>();
    let service = server::service(executor, name.clone(), Access::of_site(site));
    let serving = tokio::spawn(async move {
        let stopped = async { stopped.await.unwrap() };
        serve_until(stopped, Routes::new(service), incoming, &*host).await
    });

    let alice = OperatorName::try_from("alice").unwrap();
    let credentials =
        roots.operator(&alice, Role::Operator, Duration::from_hours(1), now()).unwrap();
    let credentials = Arc::new(ArcSwap::from_pointee(credentials));
    let mut client = NodeClient::new(node_channel(address, &name, &site, credentials).unwrap());
    let term = Term { number: 1, run: RunId("r".to_owned()) };
    let operation = OperationId("1".to_owned());
    let order = Order {
        operation,
        term: term.clone(),
        goal: Goal::Host(HostGoal::SwapOff),
        material: None,
    };
    let events = client.ensure(node::EnsureRequest::from(&order)).await.unwrap().into_inner();
    let last = events.fold(None, |_, event| async move { Some(event.unwrap()) }).await;
    let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
    assert_eq!(Event::try_from(last.unwrap()).unwrap(), ended);
    let facts = client.describe(node::DescribeRequest::default()).await.unwrap().into_inner();
    assert_eq!(Facts::try_from(facts).unwrap().term, term);

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.describe(node::DescribeRequest::default()).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_the_setting() {
    let roots = Roots::create(SiteId::random(), now()).unwrap();
    let node = NodeName::try_from("cp-1").unwrap();
    let credentials = node_credentials(&roots, &node);
    let node_root_pem = roots.to_pem().nodes_pem;
    let (site, bundle) = (roots.site(), String::new());
    let host = FakeHost::bare();
    let settings = Settings::default();
    let identity = NodeIdentity { site, node, credentials, node_root_pem, bundle };
    identity.store(&host, &settings.identity_folder).await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { listen: taken.local_addr().unwrap(), ..settings };
    let error = serve(&settings, Arc::new(host)).await.unwrap_err().to_string();
    assert!(error.contains("if another program has the port, change `listen`"), "{error}");
}

#[tokio::test]
async fn a_thousand_hangups_end_no_daemon() {
    let stopped = until_stopped().unwrap();
    for _ in 0..1_000 {
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
    }
    assert!(stopped.now_or_never().is_none());
}

#[tokio::test]
async fn a_node_that_is_not_enrolled_is_told_how() {
    let host: Arc<dyn Host> = Arc::new(FakeHost::bare());
    let error = serve(&Settings::default(), host).await.unwrap_err();
    assert!(matches!(error, ServeError::NotEnrolled { .. }));
    assert!(error.to_string().contains("quorate-agent enrol --coordinator"), "{error}");
}
