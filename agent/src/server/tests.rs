//! The calls, without TLS: who may, and what is refused how.

use std::io;

use hyper_util::rt::TokioIo;
use quorate_proto::audit::{Chain, Deed, Entry};
use quorate_proto::goal::{ClusterGoal, HostGoal, Manifest};
use quorate_proto::trust::{ChannelBinding, Identity, OperatorName, Role, SiteId, Who};
use quorate_proto::wire::Cancellation;
use quorate_proto::{Event, Facts, Finding, Goal, OperationId, RunId, Sha256, Term};
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Server};

use self::node::node_client::NodeClient;
use super::*;
use crate::executor::OverSocket;
use crate::goal;
use crate::host::fake::FakeHost;
use crate::local::Local;
use crate::worker::Worker;

/// A client whose connection, by its certificate, is of this party; no certificate for `None`.
async fn client_of(identity: Option<Identity>, site: SiteId) -> NodeClient<Channel> {
    let host = Arc::new(FakeHost::bare());
    let worker = Worker::open(host, goal::of, "/state").await.unwrap();
    client_through(Arc::new(Local(worker)), identity, site).await
}

async fn client_through(
    executor: Arc<dyn Execute>,
    identity: Option<Identity>,
    site: SiteId,
) -> NodeClient<Channel> {
    let node = NodeName::try_from("cp-1").unwrap();
    let address = "127.0.0.1:1".parse().unwrap();
    let peer = Peer { identity, seen: None, address, binding: ChannelBinding([0; 32]) };
    let service = InterceptedService::new(
        service(executor, node, Access::of_site(site)),
        move |mut request: Request<()>| {
            request.extensions_mut().insert(peer.clone());
            Ok(request)
        },
    );
    let (ours, theirs) = tokio::io::duplex(MESSAGE_BYTES);
    let incoming = stream::iter([Ok::<_, io::Error>(theirs)]).chain(stream::pending());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let mut ours = Some(ours);
    let connector = tower::service_fn(move |_| {
        let stream = ours.take().ok_or_else(|| io::Error::other("connected already"));
        async move { stream.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://node.invalid");
    NodeClient::new(endpoint.connect_with_connector(connector).await.unwrap())
}

fn operator(site: SiteId, role: Role) -> Identity {
    Identity { site, who: Who::Operator { name: OperatorName::try_from("alice").unwrap(), role } }
}

async fn operators_client() -> NodeClient<Channel> {
    let site = SiteId::random();
    client_of(Some(operator(site, Role::Admin)), site).await
}

fn order(number: u64) -> Order {
    let term = Term { number, run: RunId("r".to_owned()) };
    Order {
        operation: OperationId("1".to_owned()),
        term,
        goal: Goal::Host(HostGoal::SwapOff),
        material: None,
    }
}

#[tokio::test]
async fn after_a_claim_no_older_order_begins() {
    let mut client = operators_client().await;
    let newer = order(4).term;
    let claim = node::DescribeRequest::from(Some(&newer));
    let facts = client.describe(claim).await.unwrap().into_inner();
    assert_eq!(Facts::try_from(facts).unwrap().term, newer);

    let late = client.ensure(node::EnsureRequest::from(&order(3))).await.map(drop).unwrap_err();
    assert_eq!(Refusal::from_status(&late), Some(Refusal::Superseded { term: newer }));
}

#[tokio::test]
async fn a_goal_is_checked_ensured_and_checked_again() {
    let mut client = operators_client().await;
    let goals = [Goal::Host(HostGoal::SwapOff)];
    let ask = || node::CheckRequest::from(goals.as_slice());
    let reply = client.check(ask()).await.unwrap().into_inner();
    assert!(matches!(Vec::<Finding>::try_from(reply).unwrap()[..], [Finding::Drifted(_)]));

    let events = client.ensure(node::EnsureRequest::from(&order(3))).await.unwrap().into_inner();
    let events: Vec<_> =
        events.map(|event| Event::try_from(event.unwrap()).unwrap()).collect().await;
    assert_eq!(events.first(), Some(&Event::Started { attached: false }));
    let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
    assert_eq!(events.last(), Some(&ended));

    let reply = client.check(ask()).await.unwrap().into_inner();
    assert_eq!(Vec::<Finding>::try_from(reply).unwrap(), [Finding::Satisfied]);
    let facts = client.describe(node::DescribeRequest::default()).await.unwrap().into_inner();
    let facts = Facts::try_from(facts).unwrap();
    assert_eq!((facts.node.as_str(), facts.term.number), ("cp-1", 3));
}

#[tokio::test]
async fn the_largest_manifest_is_taken_however_much_of_it_is_escaped() {
    let mut client = operators_client().await;
    let yaml = "\"".repeat(3 * 1024 * 1024);
    let sha256 = Sha256::of(yaml.as_bytes());
    let goal =
        Goal::Cluster(ClusterGoal::Network(Manifest { name: "network".to_owned(), yaml, sha256 }));
    let reply = client.check(node::CheckRequest::from([goal].as_slice())).await;
    assert_eq!(reply.unwrap().into_inner().findings.len(), 1);
}

#[tokio::test]
async fn a_refusal_reaches_the_caller_with_its_type() {
    let mut client = operators_client().await;
    drop(client.ensure(node::EnsureRequest::from(&order(3))).await.unwrap());
    let status = client.ensure(node::EnsureRequest::from(&order(2))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(Refusal::from_status(&status), Some(Refusal::Superseded { term: order(3).term }));
    let older = Cancellation { operation: OperationId("1".to_owned()), term: order(2).term };
    let status = client.cancel(node::CancelRequest::from(&older)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_goal_that_is_not_known_is_invalid() {
    let mut client = operators_client().await;
    let goals_json = vec![r#"{"run-shell":"rm -rf /"}"#.to_owned()];
    let status = client.check(node::CheckRequest { goals_json }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(matches!(Refusal::from_status(&status), Some(Refusal::Invalid(_))));
}

#[tokio::test]
async fn what_no_goal_may_hold_is_invalid() {
    let mut client = operators_client().await;
    let goals_json =
        vec![r#"{"sysctls":{"values":{"kernel.core_pattern":"|/bin/sh"}}}"#.to_owned()];
    let status = client.check(node::CheckRequest { goals_json }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("kernel.core_pattern"), "{status}");
}

#[tokio::test]
async fn the_audit_log_tells_who_ordered_and_follows_from_line_to_line() {
    let mut client = operators_client().await;
    let events = client.ensure(node::EnsureRequest::from(&order(3))).await.unwrap().into_inner();
    assert!(events.map(Result::unwrap).count().await > 0);
    let facts = client.describe(node::DescribeRequest::default()).await.unwrap().into_inner();
    let head = Facts::try_from(facts).unwrap().audit.unwrap();

    let mut read = async |after| {
        let replies = client.audit(node::AuditRequest { after }).await.unwrap().into_inner();
        let replies: Vec<_> = replies.map(|reply| reply.unwrap().lines).collect().await;
        replies.concat()
    };
    let lines = read(0).await;
    let mut chain = Chain::default();
    lines.iter().try_for_each(|line| chain.read(line)).unwrap();
    assert_eq!(*chain.head(), head);
    let by = |line: &String| {
        let Entry { deed, .. } = serde_json::from_str(line).unwrap();
        let Deed::Attempt { by, .. } = deed else { return None };
        Some((by.operator, by.address))
    };
    let who: Vec<_> = lines.iter().filter_map(by).collect();
    assert_eq!(who, [("alice".to_owned(), "127.0.0.1:1".to_owned())]);
    assert_eq!(read(head.seq - 1).await, lines[lines.len() - 1..]);
    for after in [head.seq, u64::MAX] {
        assert_eq!(read(after).await, [""; 0]);
    }
}

#[tokio::test]
async fn without_an_executor_it_is_said_what_to_do() {
    let site = SiteId::random();
    let absent = Arc::new(OverSocket::at("/nonexistent/executor.sock"));
    let mut client = client_through(absent, Some(operator(site, Role::Admin)), site).await;
    let status = client.describe(node::DescribeRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("systemctl start quorate-executor.socket"), "{status}");
    let order = client.ensure(node::EnsureRequest::from(&order(1))).await.map(drop);
    assert_eq!(order.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn only_an_operator_of_the_site_is_served() {
    let site = SiteId::random();
    let node = Who::Node(NodeName::try_from("cp-2").unwrap());
    let strangers = [
        (None, Code::Unauthenticated),
        (Some(operator(SiteId::random(), Role::Admin)), Code::PermissionDenied),
        (Some(Identity { site, who: node }), Code::PermissionDenied),
        (Some(Identity { site, who: Who::Coordinator }), Code::PermissionDenied),
    ];
    for (identity, code) in strangers {
        let mut client = client_of(identity.clone(), site).await;
        let status = client.describe(node::DescribeRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), code, "{identity:?}");
        let order = client.ensure(node::EnsureRequest::from(&order(1))).await.map(drop);
        assert_eq!(order.unwrap_err().code(), code, "{identity:?}");
        let goals = node::CheckRequest { goals_json: Vec::new() };
        assert_eq!(client.check(goals).await.unwrap_err().code(), code, "{identity:?}");
        let cancel = node::CancelRequest { operation: String::new(), term: None };
        assert_eq!(client.cancel(cancel).await.unwrap_err().code(), code, "{identity:?}");
        let log = client.audit(node::AuditRequest { after: 0 }).await.map(drop);
        assert_eq!(log.unwrap_err().code(), code, "{identity:?}");
    }
}
