//! A crowd at an agent's door: connections that say nothing, that say a byte a second, and calls that are taken
//! back at once. Beside each an operator calls, by an old connection and by new ones. Its last words are a table.
//!
//! `storm` makes the agent itself: a process with the agent's own listener and service, and a machine in memory
//! behind them. It also plays one that has hardly a descriptor.
//!
//! `storm ADDRESS:PORT NODE STATE-FOLDER PID`: the agent of a node, its node's name, the coordinator's state
//! folder, and the process id of the agent's front end on this machine.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it talks to a person, and stops at the first surprise"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;

use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use quorate::site::Site;
use quorate_agent::access::Access;
use quorate_agent::executor::Local;
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::serve::BOUNDS;
use quorate_agent::server::service;
use quorate_agent::worker::Worker;
use quorate_proto::trust::{
    Credentials, NodeKey, OperatorName, Role, Roots, SigningRequest, SiteId, incoming, listen,
    node_channel, server_config,
};
use quorate_proto::wire::node::DescribeRequest;
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::{NodeName, Secret};
use quorate_tests::process::{processor_seconds, resident_mib};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tonic::transport::Channel;

const SILENT: usize = 10_000;
const SLOW: usize = 1_000;
const FICKLE: usize = 8;
const PHASE: Duration = Duration::from_secs(20);
const MOST_MS: u128 = 1_000;
const MOST_RESIDENT_MIB: f64 = 64.0;

/// The agent and how to reach it.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    node: NodeName,
    site: SiteId,
    credentials: Arc<ArcSwap<Credentials>>,
}

impl Target {
    fn client(&self) -> NodeClient<Channel> {
        let Self { address, node, site, credentials } = self;
        NodeClient::new(node_channel(*address, node, site, Arc::clone(credentials)).unwrap())
    }
}

/// What one phase showed.
struct Row {
    what: &'static str,
    calls: usize,
    refused: usize,
    by_old_ms: u128,
    by_new_ms: u128,
    processors: f64,
    resident_mib: f64,
}

/// Descriptors of an agent that has too few: less than a crowd at its door may take.
const FEW: &str = "40";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let runtime = |mut builder: tokio::runtime::Builder| builder.enable_all().build().unwrap();
    let many = || runtime(tokio::runtime::Builder::new_multi_thread());
    let rows = match args.as_slice() {
        [_] => many().block_on(at_our_own()),
        [_, agent, folder] if agent == "agent" => {
            let one = runtime(tokio::runtime::Builder::new_current_thread());
            one.block_on(be_an_agent(Path::new(folder)));
            return ExitCode::SUCCESS;
        }
        [_, address, node, folder, pid] => {
            let site = Site::open(Path::new(folder)).unwrap();
            let credentials = site.run_credentials(SystemTime::now()).unwrap().credentials;
            let target = Target {
                address: address.parse().unwrap(),
                node: NodeName::try_from(node.as_str()).unwrap(),
                site: site.id(),
                credentials: Arc::new(ArcSwap::from_pointee(credentials)),
            };
            many().block_on(crowds(&target, pid.parse().unwrap()))
        }
        _ => {
            println!("usage: storm [ADDRESS:PORT NODE STATE-FOLDER PID]");
            return ExitCode::from(2);
        }
    };
    println!(
        "| beside | calls | failed | slowest, old connection | slowest, new connection | processors | resident |"
    );
    println!("|---|---|---|---|---|---|---|");
    for Row { what, calls, refused, by_old_ms, by_new_ms, processors, resident_mib } in &rows {
        println!(
            "| {what} | {calls} | {refused} | {by_old_ms} ms | {by_new_ms} ms | {processors:.2} | {resident_mib:.1} MiB |"
        );
    }
    let holds = |row: &Row| {
        row.refused == 0
            && row.by_old_ms.max(row.by_new_ms) <= MOST_MS
            && row.processors <= 1.0
            && row.resident_mib <= MOST_RESIDENT_MIB
    };
    ExitCode::from(u8::from(!rows.iter().all(holds)))
}

async fn crowds(target: &Target, pid: u32) -> Vec<Row> {
    let old = target.client();
    let mut rows = vec![watch("nobody else", target, &old, pid, JoinSet::new()).await];
    rows.push(watch("10,000 that say nothing", target, &old, pid, silent(target)).await);
    rows.push(watch("1,000 of a byte a second", target, &old, pid, slow(target)).await);
    rows.push(watch("calls taken back at once", target, &old, pid, fickle(target)).await);
    rows
}

async fn at_our_own() -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, target) = agent(folder.path(), "8192").await;
    let mut rows = crowds(&target, child.id()).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (mut child, target) = agent(folder.path(), FEW).await;
    let old = target.client();
    let what = "10,000 that say nothing, 40 descriptors";
    rows.push(watch(what, &target, &old, child.id(), silent(&target)).await);
    child.kill().unwrap();
    child.wait().unwrap();
    rows
}

/// An agent as a process of its own, with as many descriptors.
async fn agent(folder: &Path, descriptors: &str) -> (Child, Target) {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}")).arg(own).arg("agent").arg(folder);
    let child = command.spawn().unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    while !folder.join("ready").exists() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let credentials = Credentials {
        chain_pem: read("chain"),
        key_pem: Secret::new(read("key")),
        peer_roots_pem: read("roots"),
    };
    let target = Target {
        address: read("address").parse().unwrap(),
        node: NodeName::try_from("cp-1").unwrap(),
        site: read("site").parse().unwrap(),
        credentials: Arc::new(ArcSwap::from_pointee(credentials)),
    };
    (child, target)
}

/// Serves as the agent does, and leaves in the folder what an operator needs.
async fn be_an_agent(folder: &Path) {
    let (now, name) = (SystemTime::now(), NodeName::try_from("cp-1").unwrap());
    let roots = Roots::create(SiteId::random(), now).unwrap();
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&name, &request, now).unwrap();
    let config = server_config(&roots.grant(issued.chain).credentials(key.to_pem())).unwrap();
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();

    let alice = OperatorName::try_from("alice").unwrap();
    let operator = roots.operator(&alice, Role::Viewer, Duration::from_hours(1), now).unwrap();
    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    write("chain", &operator.chain_pem);
    write("key", operator.key_pem.expose());
    write("roots", &operator.peer_roots_pem);
    write("address", &listener.local_addr().unwrap().to_string());
    write("site", &roots.site().to_string());
    write("ready", "");

    let worker = Worker::open(Arc::new(FakeHost::bare()), goal::of, "/state").await.unwrap();
    let service = service(Arc::new(Local(worker)), name, Access::of_site(roots.site()));
    let incoming = incoming(listener, Arc::new(ArcSwap::from_pointee(config)));
    BOUNDS.server().add_service(service).serve_with_incoming(incoming).await.unwrap();
}

/// Calls for the length of a phase, a few times a second.
async fn watch(
    what: &'static str,
    target: &Target,
    old: &NodeClient<Channel>,
    pid: u32,
    crowd: JoinSet<()>,
) -> Row {
    let (began, before) = (Instant::now(), processor_seconds(pid));
    let mut row = Row {
        what,
        calls: 0,
        refused: 0,
        by_old_ms: 0,
        by_new_ms: 0,
        processors: 0.0,
        resident_mib: 0.0,
    };
    while began.elapsed() < PHASE {
        for (client, slowest) in
            [(old.clone(), &mut row.by_old_ms), (target.client(), &mut row.by_new_ms)]
        {
            let mut client = client;
            let asked = Instant::now();
            let answer = client.describe(DescribeRequest { claim: None });
            let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
            row.calls += 1;
            row.refused += usize::from(!matches!(answer, Ok(Ok(_))));
            *slowest = (*slowest).max(asked.elapsed().as_millis());
        }
        row.resident_mib = row.resident_mib.max(resident_mib(pid));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    row.processors = (processor_seconds(pid) - before) / began.elapsed().as_secs_f64();
    drop(crowd);
    row
}

/// Each connects, says nothing, and comes again a second after it was sent away.
fn silent(target: &Target) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for number in 0..SILENT {
        let address = target.address;
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = connect(address, number).await {
                    stream.read_u8().await.ok();
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    crowd
}

/// The first bytes of a handshake, one a second.
fn slow(target: &Target) -> JoinSet<()> {
    const HELLO: [u8; 9] = [22, 3, 1, 2, 0, 1, 0, 1, 252];
    let mut crowd = JoinSet::new();
    for number in 0..SLOW {
        let address = target.address;
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = connect(address, number).await {
                    for byte in HELLO.iter().cycle() {
                        if stream.write_all(&[*byte]).await.is_err() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    crowd
}

/// As one of ten machines, none of which is the operator's; on another machine than the agent's, from there.
async fn connect(to: SocketAddr, number: usize) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if to.ip().is_loopback() {
        let machine = u8::try_from(number % 10).unwrap();
        socket.bind((Ipv4Addr::new(127, 8, 0, machine), 0).into())?;
    }
    socket.connect(to).await
}

/// Operators who begin calls without end and wait for none.
fn fickle(target: &Target) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for _ in 0..FICKLE {
        let target = target.clone();
        crowd.spawn(async move {
            let mut client = target.client();
            loop {
                let call = client.describe(DescribeRequest { claim: None });
                if tokio::time::timeout(Duration::from_micros(300), call)
                    .await
                    .is_ok_and(|answer| answer.is_err())
                {
                    client = target.client();
                }
            }
        });
    }
    crowd
}
