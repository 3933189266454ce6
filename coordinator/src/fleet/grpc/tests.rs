//! The fleet against a service of its own protocol, over loopback and mutual TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

use quorate_proto::goal::{ClusterGoal, HostGoal};
use quorate_proto::trust::{
    NodeKey, OperatorName, Role, Roots, SigningRequest, incoming, server_config,
};
use quorate_proto::wire::node::node_server::{Node, NodeServer};
use quorate_proto::{Drift, KubernetesFacts, Machine, OperationId, RunId};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Request;
use tonic::transport::Server;

use super::*;
use crate::spec;

/// Tells `Started`, and the end only where the goal is to turn swap off.
struct Agent;

#[tonic::async_trait]
impl Node for Agent {
    type EnsureStream = UnboundedReceiverStream<Result<node::Event, Status>>;
    type AuditStream = UnboundedReceiverStream<Result<node::AuditReply, Status>>;

    async fn audit(
        &self,
        _: Request<node::AuditRequest>,
    ) -> Result<Response<Self::AuditStream>, Status> {
        let (tell, told) = unbounded_channel();
        for lines in [vec!["one".to_owned(), "two".to_owned()], vec!["x".repeat(AUDIT_LINE + 1)]] {
            tell.send(Ok(node::AuditReply { lines })).unwrap();
        }
        Ok(Response::new(UnboundedReceiverStream::new(told)))
    }

    async fn describe(
        &self,
        request: Request<node::DescribeRequest>,
    ) -> Result<Response<node::DescribeReply>, Status> {
        let run = request.into_inner().claim.map(|claim| claim.run).unwrap_or_default();
        match run.as_str() {
            "" => Err((&Refusal::Invalid("it has no facts".to_owned())).into()),
            "large" => {
                let facts_json = " ".repeat(MESSAGE_BYTES + 1);
                Ok(Response::new(node::DescribeReply { facts_json }))
            }
            name => Ok(Response::new((&facts(name)).into())),
        }
    }

    async fn check(
        &self,
        request: Request<node::CheckRequest>,
    ) -> Result<Response<node::CheckReply>, Status> {
        let goals: Vec<Goal> = request.into_inner().try_into().unwrap();
        let one =
            |goal: Goal| Finding::Drifted(vec![Drift::new(goal.id().to_string(), "no", "yes")]);
        let findings: Vec<Finding> = goals.into_iter().take(2).map(one).collect();
        Ok(Response::new(findings.into()))
    }

    async fn ensure(
        &self,
        request: Request<node::EnsureRequest>,
    ) -> Result<Response<Self::EnsureStream>, Status> {
        let order = Order::try_from(request.into_inner()).unwrap();
        let (tell, told) = unbounded_channel();
        tell.send(Ok(Event::Started { attached: false }.into())).unwrap();
        if order.goal == Goal::Host(HostGoal::SwapOff) {
            let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
            tell.send(Ok(ended.into())).unwrap();
        }
        Ok(Response::new(UnboundedReceiverStream::new(told)))
    }

    async fn cancel(
        &self,
        _: Request<node::CancelRequest>,
    ) -> Result<Response<node::CancelReply>, Status> {
        Ok(Response::new(node::CancelReply {}))
    }

    async fn kubeconfig(
        &self,
        _: Request<node::KubeconfigRequest>,
    ) -> Result<Response<node::KubeconfigReply>, Status> {
        Ok(Response::new((&Secret::new("the kubeconfig".to_owned())).into()))
    }
}

/// Of a machine that says this of itself.
fn facts(name: &str) -> Facts {
    Facts {
        node: node_name(name),
        agent_version: String::new(),
        machine: Machine::default(),
        term: Term::default(),
        under_way: None,
        kubernetes: KubernetesFacts::default(),
        etcd: None,
        audit: None,
        nodes: None,
    }
}

/// Serves as this node of the site.
async fn serve(roots: &Roots, name: &str) -> SocketAddr {
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&node_name(name), &request, SystemTime::now()).unwrap();
    let granted = roots.grant(issued.chain);
    let config = server_config(&granted.credentials(key.to_pem())).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    let service = Server::builder().add_service(NodeServer::new(Agent));
    tokio::spawn(service.serve_with_incoming(connections));
    address
}

/// A fleet of two nodes at these addresses.
fn fleet(roots: &Roots, addresses: [SocketAddr; 2]) -> GrpcFleet {
    let text = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
  - {name: worker-1, address: 10.0.0.21, roles: [worker]}
";
    let mut spec = spec::parse(text, "cluster.yaml", Path::new("")).unwrap().spec;
    for (node, address) in spec.nodes.iter_mut().zip(addresses) {
        (node.address, node.agent_port) = (address.ip(), address.port());
    }
    let operator = OperatorName::try_from("alice").unwrap();
    let credentials =
        roots.operator(&operator, Role::Admin, Duration::from_hours(1), SystemTime::now()).unwrap();
    GrpcFleet::new(&spec, &roots.site(), &Arc::new(ArcSwap::from_pointee(credentials))).unwrap()
}

fn node_name(name: &str) -> NodeName {
    name.try_into().unwrap()
}

fn roots() -> Roots {
    Roots::create(SiteId::random(), SystemTime::now()).unwrap()
}

/// Where nobody listens: a port that was free a moment ago.
async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

fn order(goal: Goal) -> Order {
    let term = Term { number: 1, run: RunId("r".to_owned()) };
    Order { operation: OperationId("o".to_owned()), term, goal, material: None }
}

#[tokio::test]
async fn calls_reach_the_node_and_answers_come_back() {
    let roots = roots();
    let fleet = fleet(&roots, [serve(&roots, "cp-1").await, nobody().await]);
    let cp_1 = node_name("cp-1");
    let findings = fleet.check(&cp_1, &[Goal::Host(HostGoal::SwapOff)]).await.unwrap();
    assert_eq!(findings, [Finding::Drifted(vec![Drift::new("swap-off", "no", "yes")])]);
    assert_eq!(fleet.kubeconfig(&cp_1).await.unwrap().expose(), "the kubeconfig");
    let (lines, mut read) = tokio::sync::mpsc::channel(9);
    let error = fleet.audit(&cp_1, lines).await.unwrap_err();
    assert!(error.why().starts_with("its audit log has lines"), "{error:?}");
    assert_eq!(
        (read.recv().await.unwrap(), read.recv().await.unwrap()),
        ("one".into(), "two".into())
    );
    let (tell, mut told) = unbounded_channel();
    fleet.ensure(&cp_1, order(Goal::Host(HostGoal::SwapOff)), tell).await.unwrap();
    assert_eq!(told.recv().await, Some(Event::Started { attached: false }));
    assert!(matches!(told.recv().await, Some(Event::Ended { .. })));
}

#[tokio::test]
async fn answers_that_fall_short_are_errors() {
    let roots = roots();
    let fleet = fleet(&roots, [serve(&roots, "cp-1").await, nobody().await]);
    let cp_1 = node_name("cp-1");
    let three = [
        Goal::Host(HostGoal::SwapOff),
        Goal::Cluster(ClusterGoal::SystemPodsReady),
        Goal::Cluster(ClusterGoal::NodesReady([cp_1.clone()].into())),
    ];
    let error = fleet.check(&cp_1, &three).await.unwrap_err();
    assert!(error.why().starts_with("it answered for 2 of 3 goals"), "{error:?}");
    let (tell, _told) = unbounded_channel();
    let error = fleet
        .ensure(&cp_1, order(Goal::Cluster(ClusterGoal::SystemPodsReady)), tell)
        .await
        .unwrap_err();
    assert!(matches!(error, FleetError::Silent { .. }), "the end was never told: {error:?}");
    let error = fleet.describe(&cp_1, None).await.unwrap_err();
    let refused = FleetError::Refused { node: cp_1, why: "it has no facts".to_owned() };
    assert_eq!(error, refused);
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_of_another_node_is_refused() {
    let roots = roots();
    let fleet = fleet(&roots, [serve(&roots, "cp-1").await, nobody().await]);
    let cp_1 = node_name("cp-1");
    let term = |run: &str| Term { number: 1, run: RunId(run.to_owned()) };
    assert_eq!(fleet.describe(&cp_1, Some(&term("cp-1"))).await, Ok(facts("cp-1")));
    let error = fleet.describe(&cp_1, Some(&term("worker-1"))).await.unwrap_err();
    let why = "it says that it is worker-1, and its certificate is cp-1's".to_owned();
    assert_eq!(error, FleetError::Refused { node: cp_1.clone(), why });
    let error = fleet.describe(&cp_1, Some(&term("large"))).await.unwrap_err();
    assert!(
        matches!(&error, FleetError::Refused { why, .. } if why.contains("too large")),
        "{error:?}"
    );
}

#[tokio::test]
async fn silence_and_strangers_are_told_apart() {
    let roots = roots();
    let other_site = Roots::create(SiteId::random(), SystemTime::now()).unwrap();
    let worker = node_name("worker-1");
    let silent = fleet(&roots, [nobody().await, nobody().await]);
    let error = silent.describe(&worker, None).await.unwrap_err();
    assert!(matches!(error, FleetError::Silent { .. }), "{error:?}");
    for address in [serve(&roots, "cp-1").await, serve(&other_site, "worker-1").await] {
        let mistaken = fleet(&roots, [nobody().await, address]);
        let error = mistaken.describe(&worker, None).await.unwrap_err();
        assert!(matches!(error, FleetError::Stranger { .. }), "{error:?}");
    }
}

#[test]
fn what_an_agent_answers_keeps_its_meaning() {
    let node = node_name("cp-1");
    let term = Term { number: 7, run: RunId("r".to_owned()) };
    let superseded = Status::from(&Refusal::Superseded { term: term.clone() });
    let expected = FleetError::Superseded { node: node.clone(), term };
    assert_eq!(meaning(&node, &superseded), expected);
    let leaving = meaning(&node, &Status::unavailable("shutting down"));
    assert_eq!(leaving, silent(&node, "shutting down"));
    let denied = meaning(&node, &Status::permission_denied("operators only"));
    assert!(matches!(denied, FleetError::Refused { .. }), "{denied:?}");
}
