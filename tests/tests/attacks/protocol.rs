//! Messages and orders, B59 to B87, and what goals may hold, B88 to B98: what an operator with a good
//! certificate can send to an agent. Each refusal leaves the machine as it was, and whoever calls next is
//! answered. Which cases are shown elsewhere, or do not apply, stands in docs/SECURITY.md.

use std::fs;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use quorate_agent::host::Files as _;
use quorate_agent::host::linux::LinuxHost;
use quorate_proto::goal::{ClusterGoal, HostGoal};
use quorate_proto::trust::Role;
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::wire::{Order, node};
use quorate_proto::{Event, Finding, Goal, OperationId, RunId, Term};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tower::ServiceExt as _;

use super::agent::{Agent, dial};

const CHECK: &str = "/quorate.node.v1.Node/Check";

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

/// How a call ends whose bytes no generated client would send.
async fn send(channel: &Channel, path: &str, encoding: &str, body: Vec<u8>) -> Code {
    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        .header("te", "trailers")
        .body(Body::new(Full::from(body)))
        .unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let status = match Status::from_header_map(&parts.headers) {
        Some(status) => status,
        None => {
            let rest = body.collect().await.unwrap();
            Status::from_header_map(rest.trailers().unwrap()).unwrap()
        }
    };
    status.code()
}

async fn is_answered(channel: &Channel) {
    NodeClient::new(channel.clone()).describe(node::DescribeRequest::default()).await.unwrap();
}

fn order(operation: &str, number: u64, goal: Goal) -> node::EnsureRequest {
    let term = Term { number, run: RunId("r".to_owned()) };
    let operation = OperationId(operation.to_owned());
    (&Order { operation, term, goal, material: None }).into()
}

async fn refused(channel: &Channel, order: node::EnsureRequest) -> Status {
    NodeClient::new(channel.clone()).ensure(order).await.map(drop).unwrap_err()
}

async fn carried_out(channel: &Channel, order: node::EnsureRequest) -> Vec<Event> {
    let mut events = NodeClient::new(channel.clone()).ensure(order).await.unwrap().into_inner();
    let mut told = Vec::new();
    while let Some(event) = events.message().await.unwrap() {
        told.push(event.try_into().unwrap());
    }
    told
}

#[tokio::test]
async fn bytes_that_are_no_call_are_refused() {
    let agent = Agent::start().await;
    let channel = agent.channel(Role::Admin);
    let groups = [[0x13_u8; 1_000], [0x14; 1_000]].concat();
    let table = [
        ("a good one", CHECK, "identity", framed(b"\x0a\x0a\"swap-off\""), Code::Ok),
        ("B59 4 GiB", CHECK, "identity", vec![0, 255, 255, 255, 255, 0], Code::OutOfRange),
        ("B59 16 MiB and a byte", CHECK, "identity", vec![0, 1, 0, 0, 1, 0], Code::OutOfRange),
        ("B59 compressed", CHECK, "gzip", framed(b"x"), Code::Unimplemented),
        ("B59 compressed, not said", CHECK, "identity", vec![1, 0, 0, 0, 0], Code::Internal),
        ("B60 nothing", CHECK, "identity", vec![], Code::Internal),
        ("B60 half a message", CHECK, "identity", vec![0, 0, 0, 0, 9, 10, 1], Code::Internal),
        ("B60 half a field", CHECK, "identity", framed(b"\x0a\x7fx"), Code::Internal),
        ("B60 a number for a text", CHECK, "identity", framed(b"\x08\x01"), Code::Internal),
        ("B60 the end of no group", CHECK, "identity", framed(b"\x14"), Code::Internal),
        ("B60 1,000 groups", CHECK, "identity", framed(&groups), Code::Internal),
        (
            "B60 1,000,000 goals",
            CHECK,
            "identity",
            framed(&[10_u8, 0].repeat(1_000_000)),
            Code::InvalidArgument,
        ),
        ("B61 no UTF-8", CHECK, "identity", framed(b"\x0a\x02\xff\xfe"), Code::Internal),
        (
            "B64 a method",
            "/quorate.node.v1.Node/Exec",
            "identity",
            framed(b""),
            Code::Unimplemented,
        ),
        (
            "B64 a service",
            "/quorate.node.v2.Node/Check",
            "identity",
            framed(b""),
            Code::Unimplemented,
        ),
        (
            "B64 enrolment",
            "/quorate.enrol.v1.Enrol/Claim",
            "identity",
            framed(b""),
            Code::Unimplemented,
        ),
        (
            "B64 reflection",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "identity",
            framed(b""),
            Code::Unimplemented,
        ),
        (
            "B64 health",
            "/grpc.health.v1.Health/Check",
            "identity",
            framed(b""),
            Code::Unimplemented,
        ),
    ];
    let mut wrong = Vec::new();
    for (case, path, encoding, body, wanted) in table {
        let code = send(&channel, path, encoding, body).await;
        if code != wanted {
            wrong.push(format!("{case}: {code:?}"));
        }
        is_answered(&channel).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with a goal, and the goal.
const GOALS: &[(&str, &str)] = &[
    ("B61 a name written from right to left", r#"{"nodes-ready":["cp-\u202e1"]}"#),
    ("B61 a name with a character of no width", r#"{"nodes-ready":["cp-\u200b1"]}"#),
    ("B61 a name with a letter that looks like another", r#"{"nodes-ready":["\u0441p-1"]}"#),
    ("B62 a field that is not known", r#"{"sysctls":{"values":{},"force":true}}"#),
    ("B62 a goal that is not known", r#"{"run-shell":"rm -rf /"}"#),
    ("B62 the name of a goal of ours, otherwise", r#""SwapOff""#),
    ("B63 two goals in one", r#"{"nodes-ready":["cp-1"],"swap-off":null}"#),
    ("B63 no goal", "{}"),
    ("B63 nothing", ""),
    ("B60 a goal and something else", r#""swap-off" "swap-off""#),
    ("B60 a field twice", r#"{"sysctls":{"values":{},"values":{}}}"#),
    ("B60 a number for a name", r#"{"nodes-ready":[1]}"#),
    ("B88 a folder", r#"{"kernel-modules":{"modules":["../evil"]}}"#),
    ("B88 an option", r#"{"kernel-modules":{"modules":["-r overlay"]}}"#),
    ("B88 a command", r#"{"kernel-modules":{"modules":["overlay;id"]}}"#),
    ("B88 a line", r#"{"kernel-modules":{"modules":["br_netfilter\n"]}}"#),
    ("B90 a command", r#"{"sysctls":{"values":{"vm.swappiness":"1; reboot"}}}"#),
    ("B90 a line", r#"{"sysctls":{"values":{"vm.swappiness":"1\nkernel.core_pattern=|/x"}}}"#),
    ("B90 a space before", r#"{"sysctls":{"values":{"vm.swappiness":" 1"}}}"#),
    ("B90 hexadecimal", r#"{"sysctls":{"values":{"vm.swappiness":"0x1"}}}"#),
    ("B90 20 digits", r#"{"sysctls":{"values":{"vm.swappiness":"99999999999999999999"}}}"#),
    (
        "B91 a parameter that runs a program",
        r#"{"sysctls":{"values":{"kernel.core_pattern":"1"}}}"#,
    ),
    (
        "B96 an option",
        r#"{"packages":{"packages":[{"name":"kubeadm","version":"1.30.0-1.1 -o APT::x"}]}}"#,
    ),
    ("B96 any version", r#"{"packages":{"packages":[{"name":"kubeadm","version":"*"}]}}"#),
    ("B96 a file", r#"{"packages":{"packages":[{"name":"./evil.deb","version":null}]}}"#),
];

#[tokio::test]
async fn goals_that_are_none_are_refused_and_change_nothing() {
    let agent = Agent::start().await;
    let channel = agent.channel(Role::Admin);
    let deep = format!(r#"{{"network":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let table = GOALS.iter().copied().chain([("B60 10,000 levels", deep.as_str())]);
    let mut wrong = Vec::new();
    for (case, goal) in table {
        let goals_json = vec![goal.to_owned()];
        let check = node::CheckRequest { goals_json };
        let check = NodeClient::new(channel.clone()).check(check).await.map(drop);
        let mut ensure = order("1", 1, Goal::Host(HostGoal::SwapOff));
        goal.clone_into(&mut ensure.goal_json);
        let ensure = NodeClient::new(channel.clone()).ensure(ensure).await.map(drop);
        let ends = [check, ensure].map(|end| end.err().map(|status| status.code()));
        if ends != [Some(Code::InvalidArgument); 2] {
            wrong.push(format!("{case}: {ends:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(agent.host.history(), Vec::<String>::new());
}

#[tokio::test]
async fn b62_material_with_a_field_that_is_not_known_is_refused_and_not_shown() {
    let channel = Agent::start().await.channel(Role::Admin);
    let mut with_more = order("1", 1, Goal::Host(HostGoal::SwapOff));
    with_more.material_json =
        r#"{"token":"abcdef.0123456789abcdef","password":"hunter2"}"#.to_owned();
    let status = refused(&channel, with_more).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    let told = status.message();
    assert!(!told.contains("0123456789abcdef") && !told.contains("hunter2"), "{told}");
}

#[test]
fn b63_an_answer_that_says_nothing_is_none() {
    Event::try_from(node::Event { kind: None }).unwrap_err();
    Finding::try_from(node::Finding { kind: None }).unwrap_err();
    let ended = node::event::Ended { finding: None, failure: None };
    Event::try_from(node::Event { kind: Some(node::event::Kind::Ended(ended)) }).unwrap_err();
}

#[tokio::test]
async fn b66_a_megabyte_of_metadata_is_refused() {
    let channel = Agent::start().await.channel(Role::Viewer);
    let mut request = Request::new(node::DescribeRequest::default());
    request.metadata_mut().insert("x", "x".repeat(1 << 20).parse().unwrap());
    NodeClient::new(channel.clone()).describe(request).await.unwrap_err();
    is_answered(&channel).await;
}

/// A frame of HTTP/2: what it is, its flags and its stream.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [length.as_slice(), &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn b67_who_floods_with_resets_or_headers_is_cut_off_alone() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let (headers, reset, more, end_headers) = (1, 3, 9, 4);
    // POST, https, and two literals: path and authority.
    let call =
        [b"\x83\x87\x04\x1e".as_slice(), b"/quorate.node.v1.Node/Describe", b"\x01\x01x"].concat();
    let resets = (0..500).flat_map(|n| {
        let begins = frame(headers, end_headers, 2 * n + 1, &call);
        [begins, frame(reset, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat()
    });
    // One field, of a size that fills a frame.
    let field = [b"\x00\x01x\x7f\xfb\x7e".as_slice(), &[b'x'; 16_378]].concat();
    let continued = frame(more, 0, 1, &field);
    let endless = [frame(headers, 0, 1, &call), continued.repeat(1_000)].concat();

    let agent = Agent::start().await;
    let other = agent.channel(Role::Viewer);
    is_answered(&other).await;
    for flood in [resets.collect::<Vec<u8>>(), endless] {
        let mut stream = dial(agent.address, agent.client_config()).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        // The agent may hang up while we still write.
        stream.write_all(&flood).await.ok();
        stream.flush().await.ok();
        let mut said = Vec::new();
        let ends = stream.read_to_end(&mut said);
        tokio::time::timeout(Duration::from_mins(1), ends).await.expect("it is not cut off").ok();
        is_answered(&other).await;
    }
}

#[tokio::test]
async fn b69_and_b70_an_id_is_of_one_order() {
    let agent = Agent::start().await;
    let channel = agent.channel(Role::Operator);
    let told = carried_out(&channel, order("1", 1, Goal::Host(HostGoal::SwapOff))).await;
    assert_eq!(told.first(), Some(&Event::Started { attached: false }));
    let done = agent.host.history();
    let again = carried_out(&channel, order("1", 1, Goal::Host(HostGoal::SwapOff))).await;
    assert_eq!(again.first(), Some(&Event::Started { attached: true }));
    assert_eq!((again.last(), agent.host.history()), (told.last(), done.clone()));

    let status =
        refused(&channel, order("1", 1, Goal::Cluster(ClusterGoal::SystemPodsReady))).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("under an id of its own"), "{status}");
    assert_eq!(agent.host.history(), done);
}

#[tokio::test]
async fn b71_and_b73_an_order_without_an_id_or_a_term_is_none() {
    let channel = Agent::start().await.channel(Role::Operator);
    let without_term =
        node::EnsureRequest { term: None, ..order("1", 1, Goal::Host(HostGoal::SwapOff)) };
    for order in [
        without_term,
        order("", 1, Goal::Host(HostGoal::SwapOff)),
        order("../1", 1, Goal::Host(HostGoal::SwapOff)),
    ] {
        assert_eq!(refused(&channel, order).await.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn b74_a_term_out_of_reach_shuts_no_later_run_out() {
    let agent = Agent::start().await;
    let channel = agent.channel(Role::Operator);
    for number in [u64::MAX, Term::REACH + 1] {
        let status = refused(&channel, order("1", number, Goal::Host(HostGoal::SwapOff))).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("/state/ledger.json"), "{status}");
        let claim = Some(node::Term { number, run: "r".to_owned() });
        let mut client = NodeClient::new(channel.clone());
        let status = client.describe(node::DescribeRequest { claim }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let told = carried_out(&channel, order("1", 1, Goal::Host(HostGoal::SwapOff))).await;
    assert!(matches!(told.last(), Some(Event::Ended { finding: Finding::Satisfied, .. })));
}

#[tokio::test]
async fn b93_what_a_links_target_holds_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("victim"), "precious").unwrap();
    std::os::unix::fs::symlink(at("victim"), at("soft")).unwrap();
    fs::hard_link(at("victim"), at("hard")).unwrap();
    for (name, why) in [("soft", "symbolic link"), ("hard", "hard link")] {
        let written = LinuxHost::new().write(at(name).to_str().unwrap(), b"ours", 0o600).await;
        let refused = quorate_proto::in_one_line(&written.unwrap_err());
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(fs::read(at("victim")).unwrap(), b"precious");
}
