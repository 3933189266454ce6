//! The socket: who may call, what closes a connection, and what a call leaves behind when its caller
//! is gone.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use quorate_proto::audit::{By, Chain, Deed, Entry, Own};
use quorate_proto::goal::{ClusterGoal, HostGoal, Manifest, Sysctls};
use quorate_proto::trust::{Full, OperatorName};
use quorate_proto::wire::{Cancellation, Order};
use quorate_proto::{Drift, Event, Finding, Goal, NodeName, OperationId, Refusal, RunId, Term};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::*;
use crate::audit::Audit;
use crate::caller::Caller;
use crate::goal::{Ensure, Work};
use crate::host::fake::FakeHost;
use crate::host::linux::socket::Admission;
use crate::host::{Host, HostError};
use crate::local::Local;
use crate::worker::Worker;

/// One permit lets the goal's apply come to its end.
static GATE: Semaphore = Semaphore::const_new(0);

/// Holds once its file is there, which it writes when the gate is opened.
struct Gated;

#[async_trait]
impl Ensure for Gated {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let drift = Drift::new("/holds", "missing", "present");
        let holds = host.read("/holds").await?.is_some();
        Ok(Finding::from_drifts(if holds { Vec::new() } else { vec![drift] }))
    }

    async fn apply(&self, host: &dyn Host, _work: &Work<'_>) -> Result<(), HostError> {
        GATE.acquire().await.unwrap().forget();
        host.write("/holds", b"", 0o644).await
    }
}

fn gated(_goal: &Goal) -> &dyn Ensure {
    &Gated
}

async fn worker() -> Arc<Worker> {
    Worker::open(Arc::new(FakeHost::bare()), gated, "/state").await.unwrap()
}

fn request(call: Call) -> Request {
    request_of("alice", call)
}

fn request_of(operator: &str, call: Call) -> Request {
    let operator = OperatorName::try_from(operator).unwrap();
    Request { caller: Caller { operator, address: "10.0.0.9:40000".parse().unwrap() }, call }
}

fn describe() -> Request {
    describe_of("alice")
}

fn describe_of(operator: &str) -> Request {
    let node = NodeName::try_from("cp-1").unwrap();
    request_of(operator, Call::Describe { node, claim: None })
}

fn order() -> Order {
    let term = Term { number: 1, run: RunId("r".to_owned()) };
    Order {
        operation: OperationId("1".to_owned()),
        term,
        goal: Goal::Host(HostGoal::SwapOff),
        material: None,
    }
}

/// A document as it is sent.
fn framed(document: &Value) -> Vec<u8> {
    let text = document.to_string();
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [length.as_slice(), text.as_bytes()].concat()
}

/// What becomes of a connection on which these bytes come, and no more for as long as it lasts.
async fn sent(bytes: &[u8]) -> Result<(), CallError> {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    ours.write_all(bytes).await.unwrap();
    attend(theirs, &Local(worker().await)).await
}

/// A socket of an executor that admits these, and the folder that it lies in.
async fn executor(admission: Admission) -> (TempDir, OverSocket, Arc<Worker>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let worker = worker().await;
    let socket = UnixListener::bind(&path).unwrap();
    tokio::spawn(listen(socket, admission, Arc::new(Local(Arc::clone(&worker)))));
    (folder, OverSocket::at(path), worker)
}

#[tokio::test]
async fn only_the_front_end_is_answered() {
    let us = Admission::of_this_process;
    let (_folder, socket, _) = executor(us()).await;
    let reply = socket.call(describe()).next().await.unwrap();
    assert!(matches!(reply, Ok(Reply::Facts(facts)) if facts.node.as_str() == "cp-1"));
    for stranger in [us().of_another_user(), us().of_another_unit()] {
        let (_folder, socket, _) = executor(stranger).await;
        let replies: Vec<_> = socket.call(describe()).collect().await;
        assert!(matches!(replies[..], [Err(Away::Closed)]), "{replies:?}");
    }
}

#[tokio::test]
async fn a_whole_request_is_answered_and_nothing_else() {
    let whole = framed(&json!(describe()));
    sent(&whole).await.unwrap();

    let mut two = whole.clone();
    two.extend(&whole);
    assert!(matches!(sent(&two).await, Err(CallError::Second)));

    let large = u32::MAX.to_be_bytes();
    let error = sent(&large).await.unwrap_err();
    assert!(matches!(error, CallError::Frame(FrameError::Oversize(_))), "{error}");

    let mut more = json!(describe());
    more["roles"] = json!(["admin"]);
    let mut deeper = json!(describe());
    deeper["caller"]["roles"] = json!(["admin"]);
    let mut argument = json!(request(Call::Ensure(Box::new(order()))));
    argument["call"]["ensure"]["term"]["force"] = json!(true);
    let mut shell = json!(describe());
    shell["call"] = json!({"run-shell": "true"});
    let mut line = json!(describe());
    line["call"] = json!({"keeps": {"words-of-its-own": "nothing happened"}});
    for unknown in [more, deeper, argument, shell, line] {
        let error = sent(&framed(&unknown)).await.unwrap_err();
        assert!(matches!(error, CallError::Frame(FrameError::Json(_))), "{unknown}: {error}");
    }
}

#[tokio::test]
async fn half_a_request_is_no_request() {
    let whole = framed(&json!(describe()));
    for part in [&whole[..2], &whole[..4], &whole[..20]] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(part).await.unwrap();
        drop(ours);
        let error = attend(theirs, &Local(worker().await)).await.unwrap_err();
        assert!(matches!(error, CallError::Frame(FrameError::Half)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_come_is_not_awaited() {
    let whole = framed(&json!(describe()));
    for part in [&whole[..0], &whole[..20]] {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(part).await.unwrap();
        let attended = attend(theirs, &Local(worker().await)).await;
        assert!(matches!(attended, Err(CallError::Late)), "{attended:?}");
        drop(ours);
    }
}

#[tokio::test]
async fn what_the_front_end_let_through_is_judged_again() {
    let (_folder, socket, worker) = executor(Admission::of_this_process()).await;
    let values = [("kernel.core_pattern".to_owned(), "|/bin/sh".to_owned())].into();
    let goal = Goal::Host(HostGoal::Sysctls(Sysctls { values }));
    let mut id = order();
    id.operation = OperationId("../1".to_owned());
    let OperationId(operation) = id.operation.clone();
    let term = Term { number: 9, run: RunId("a b".to_owned()) };
    let node = NodeName::try_from("cp-1").unwrap();
    let calls = [
        Call::Check { goals: vec![goal.clone()] },
        Call::Check { goals: vec![Goal::Host(HostGoal::SwapOff); 1025] },
        Call::Ensure(Box::new(Order { goal, ..order() })),
        Call::Ensure(Box::new(id)),
        Call::Cancel(Cancellation { operation: OperationId(operation), term: order().term }),
        Call::Describe { node: node.clone(), claim: Some(term) },
        Call::Keeps(Own::Bundle { generation: 0 }),
    ];
    for call in calls {
        let replies: Vec<_> = socket.call(request(call)).collect().await;
        assert!(matches!(&replies[..], [Ok(Reply::Refused(Refusal::Invalid(_)))]), "{replies:?}");
    }
    let facts = worker.describe(&node).await.unwrap();
    assert_eq!((facts.term, facts.under_way), (Term::default(), None));

    let replies: Vec<_> = socket.call(request(Call::Audit { after: 1 })).collect().await;
    let [Ok(Reply::AuditLines(lines)), Ok(Reply::AuditEnd)] = &replies[..] else {
        panic!("{replies:?}");
    };
    let refused = |line: &String| {
        let Entry { deed, .. } = serde_json::from_str(line).unwrap();
        let Deed::Refused { by, asked, .. } = deed else { panic!("{deed:?}") };
        (by.operator, asked)
    };
    let refused: Vec<_> = lines.iter().map(refused).collect();
    let asked = ["an order", "an order", "to cancel an operation", "a claim"];
    let asked = asked.into_iter().chain(["a line of the audit log"]);
    let asked: Vec<_> = asked.map(|asked| ("alice".to_owned(), asked.to_owned())).collect();
    assert_eq!(refused, asked);
}

#[tokio::test]
async fn what_the_front_end_is_about_to_keep_is_written_down_for_who_asked() {
    let executor = Local(worker().await);
    let bundle = Own::Bundle { generation: 7 };
    let certificate = Own::Certificate { key: quorate_proto::Sha256::of(b"key") };
    for own in [bundle.clone(), certificate.clone()] {
        let replies: Vec<_> = executor.call(request(Call::Keeps(own))).collect().await;
        assert!(matches!(replies[..], [Ok(Reply::WrittenDown)]), "{replies:?}");
    }
    let replies: Vec<_> = executor.call(request(Call::Audit { after: 1 })).collect().await;
    let [Ok(Reply::AuditLines(lines)), Ok(Reply::AuditEnd)] = &replies[..] else {
        panic!("{replies:?}");
    };
    let by = By { operator: "alice".to_owned(), address: "10.0.0.9:40000".to_owned() };
    let deeds = lines.iter().map(|line| serde_json::from_str::<Entry>(line).unwrap().deed);
    let wanted = [bundle, certificate].map(|own| Deed::Keeps { by: by.clone(), own });
    assert_eq!(deeds.collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn a_long_audit_log_comes_in_many_replies_and_is_whole() {
    let host = Arc::new(FakeHost::bare());
    let mut audit = Audit::open(&*host, "/state").await;
    for _ in 0..1_000 {
        let (operation, why) = (order().operation, "\"".repeat(1_000));
        audit.record(&*host, Deed::Ended { operation, holds: true, why }).await.unwrap();
    }
    let worker = Worker::open(host, gated, "/state").await.unwrap();
    let (mut ours, theirs) = tokio::io::duplex(1 << 24);
    ours.write_all(&framed(&json!(request(Call::Audit { after: 0 })))).await.unwrap();
    let mut chain = Chain::default();
    let read = async {
        assert!(matches!(frame::read(&mut ours).await.unwrap(), Some(call::Receipt::Taken)));
        let mut replies = 0;
        while let Some(Reply::AuditLines(lines)) = frame::read(&mut ours).await.unwrap() {
            let bytes: usize = lines.iter().map(String::len).sum();
            assert!(bytes <= 1 << 18, "{bytes}");
            lines.iter().try_for_each(|line| chain.read(line)).unwrap();
            replies += 1;
        }
        replies
    };
    let local = Local(worker);
    let (replies, attended) = tokio::join!(read, attend(theirs, &local));
    attended.unwrap();
    assert!(replies > 5, "{replies}");
    assert_eq!(chain.head().seq, 1_001);
}

#[tokio::test]
async fn what_the_executor_says_of_a_failure_holds_no_secret() {
    let token = "abcdef.0123456789abcdef";
    let worker = worker().await;
    let mut id = order();
    id.operation = OperationId(format!("--token {token}"));
    let calls = [
        Call::Ensure(Box::new(id.clone())),
        Call::Cancel(Cancellation { operation: id.operation, term: id.term }),
    ];
    for call in calls {
        let replies: Vec<_> = Local(Arc::clone(&worker)).call(request(call)).collect().await;
        let said = format!("{replies:?}");
        assert!(said.contains("(secret)") && !said.contains(token), "{said}");
    }
}

#[tokio::test]
async fn an_operation_goes_on_when_its_caller_vanishes_and_is_found_by_the_next() {
    let (_folder, socket, _) = executor(Admission::of_this_process()).await;
    let mut replies = socket.call(request(Call::Ensure(Box::new(order()))));
    let started = replies.next().await.unwrap().unwrap();
    assert_eq!(started, Reply::Event(Event::Started { attached: false }));
    drop(replies);

    let again = socket.call(request(Call::Ensure(Box::new(order()))));
    let (told, ()) = tokio::join!(again.collect::<Vec<_>>(), async { GATE.add_permits(1) });
    let told: Vec<Reply> = told.into_iter().map(Result::unwrap).collect();
    assert_eq!(told.first(), Some(&Reply::Event(Event::Started { attached: true })));
    let ended = Event::Ended { finding: Finding::Satisfied, failure: None };
    assert_eq!(told.last(), Some(&Reply::Event(ended)));
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let (_folder, socket, _) = executor(Admission::of_this_process()).await;
    let yaml = "a".repeat(9 * 1024 * 1024);
    let sha256 = quorate_proto::Sha256::of(yaml.as_bytes());
    let goal =
        Goal::Cluster(ClusterGoal::Network(Manifest { name: "network".to_owned(), yaml, sha256 }));
    let replies: Vec<_> = socket.call(request(Call::Check { goals: vec![goal] })).collect().await;
    assert!(matches!(replies[..], [Err(Away::Broken(FrameError::Oversize(_)))]), "{replies:?}");
}

#[tokio::test]
async fn a_stream_that_ends_early_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let dies = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.write_all(&framed(&json!("Taken"))).await.unwrap();
        let started = json!({"event": {"started": {"attached": false}}});
        stream.write_all(&framed(&started)).await.unwrap();
        // What was sent is read, so that the connection ends and is not reset.
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.unwrap();
        let mut sent = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
        stream.read_exact(&mut sent).await.unwrap();
    };
    let calls =
        OverSocket::at(path).call(request(Call::Ensure(Box::new(order())))).collect::<Vec<_>>();
    let (replies, ()) = tokio::join!(calls, dies);
    assert!(matches!(replies[..], [Ok(Reply::Event(_)), Err(Away::Closed)]), "{replies:?}");
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_takes_no_call_is_not_awaited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let _nobody_accepts = UnixListener::bind(&path).unwrap();
    let replies: Vec<_> = OverSocket::at(path).call(describe()).collect().await;
    assert!(matches!(replies[..], [Err(Away::Silent)]), "{replies:?}");
}

#[tokio::test]
async fn a_caller_who_left_is_no_failure() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(&framed(&json!(describe()))).await.unwrap();
    drop(ours);
    attend(theirs, &Local(worker().await)).await.unwrap();
}

/// Answers when it is let.
struct Awaited(Semaphore);

impl Execute for Arc<Awaited> {
    fn call(&self, _request: Request) -> Replies {
        let awaited = Self::clone(self);
        let reply = async move { awaited.0.acquire().await.map(|_| Reply::Cancelled).unwrap() };
        stream::once(reply.map(Ok)).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_for_a_caller_who_left_counts_until_it_is_done() {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    ours.write_all(&framed(&json!(describe()))).await.unwrap();
    ours.shutdown().await.unwrap();
    let awaited = Arc::new(Awaited(Semaphore::new(0)));
    let mut attended = pin!(attend(theirs, &awaited));
    timeout(Duration::from_mins(1), &mut attended).await.unwrap_err();
    awaited.0.add_permits(1);
    attended.await.unwrap();
}

/// Takes so many calls and gives their connections, without another word.
async fn taken(socket: &UnixListener, count: usize) -> Vec<UnixStream> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let (mut connection, _) = socket.accept().await.unwrap();
        assert!(frame::read::<Request>(&mut connection).await.unwrap().is_some());
        connection.write_all(&framed(&json!("Taken"))).await.unwrap();
        connections.push(connection);
    }
    connections
}

#[tokio::test]
async fn calls_of_one_operator_keep_no_other_out_and_count_until_the_executor_ends_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("executor.sock");
    let executor = UnixListener::bind(&path).unwrap();
    let front_end = Arc::new(OverSocket::at(path));
    let call = |operator| {
        let mut replies = front_end.call(describe_of(operator));
        tokio::spawn(async move { replies.next().await.unwrap() })
    };
    let of_alice: Vec<_> = (0..client::OF_ONE).map(|_| call("alice")).collect();
    let mut connections = taken(&executor, client::OF_ONE).await;
    let full = Full::OfOne(client::OF_ONE);
    let refused = call("alice").await.unwrap();
    assert!(matches!(refused, Err(Away::Full(why)) if why == full), "{refused:?}");
    let of_bob = call("bob");
    drop(taken(&executor, 1).await);
    assert!(matches!(of_bob.await.unwrap(), Err(Away::Closed)), "bob's call came to the executor");

    of_alice.iter().for_each(tokio::task::JoinHandle::abort);
    for connection in &mut connections {
        assert_eq!(connection.read(&mut [0; 1]).await.unwrap(), 0, "the executor is told");
    }
    let refused = call("alice").await.unwrap();
    assert!(matches!(refused, Err(Away::Full(why)) if why == full), "{refused:?}");
    drop(connections);
    let free = async {
        while has_no_place(&front_end) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), free).await.expect("alice has places again");
}

/// Whether alice has no place for a call. One that has is left at once.
fn has_no_place(front_end: &OverSocket) -> bool {
    let mut replies = front_end.call(describe());
    matches!(replies.next().now_or_never(), Some(Some(Err(Away::Full(_)))))
}
