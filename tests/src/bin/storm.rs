//! A crowd at an agent's door: connections that say nothing, that say a byte a second, and calls of another
//! operator that are taken back at once. Beside each an operator calls, by an old connection and by new ones. Its
//! last words are a table.
//!
//! `storm` makes the agent itself: both its roles in one process, with a machine in memory behind them. It also plays
//! one that has hardly a descriptor.
//!
//! `storm ADDRESS:PORT NODE STATE-FOLDER PID CROWD`: the agent of a node, its node's name, the coordinator's state
//! folder, the process id of the agent's front end on this machine, and the first of ten addresses of this machine
//! from which the crowd comes.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
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
use quorate_agent::executor::{self, Execute, OverSocket};
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::host::linux::socket::Admission;
use quorate_agent::local::Local;
use quorate_agent::serve::BOUNDS;
use quorate_agent::server::service;
use quorate_agent::worker::Worker;
use quorate_proto::trust::{
    Credentials, NodeKey, OperatorName, Role, Roots, SigningRequest, SiteId, incoming, listen,
    node_channel, server_config,
};
use quorate_proto::wire::node::DescribeRequest;
use quorate_proto::wire::node::node_client::NodeClient;
use quorate_proto::{NodeName, Secret, in_one_line};
use quorate_tests::process::{processor_seconds, resident_mib};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UnixListener};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;

const SILENT: u32 = 10_000;
const SLOW: u32 = 1_000;
const FICKLE: usize = 8;
const PHASE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);
const ANSWER: Duration = Duration::from_secs(5);
const MOST_MS: u128 = 1_000;
const MOST_RESIDENT_MIB: f64 = 64.0;

/// The agent, and who comes to it from where.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    node: NodeName,
    site: SiteId,
    operator: Arc<ArcSwap<Credentials>>,
    other_operator: Arc<ArcSwap<Credentials>>,
    /// The crowd comes from this address and the nine after it.
    crowd: Ipv4Addr,
}

impl Target {
    fn client_of(&self, credentials: &Arc<ArcSwap<Credentials>>) -> NodeClient<Channel> {
        let Self { address, node, site, .. } = self;
        NodeClient::new(node_channel(*address, node, site, Arc::clone(credentials)).unwrap())
    }

    fn client(&self) -> NodeClient<Channel> {
        self.client_of(&self.operator)
    }

    /// Connects as one of ten machines, none of which is the operator's.
    async fn connect(&self, number: u32) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let source = Ipv4Addr::from_bits(self.crowd.to_bits() + number % 10);
        socket.bind((source, 0).into())?;
        socket.connect(self.address).await
    }
}

/// Calls of one kind.
#[derive(Default)]
struct Calls {
    made: usize,
    failed: usize,
    slowest: Duration,
}

impl Calls {
    async fn make(&mut self, mut client: NodeClient<Channel>) {
        let asked = Instant::now();
        let answer = timeout(ANSWER, client.describe(DescribeRequest { claim: None })).await;
        self.made += 1;
        self.slowest = self.slowest.max(asked.elapsed());
        let why = match answer {
            Ok(Ok(_)) => return,
            Ok(Err(status)) => in_one_line(&status),
            Err(_) => format!("no answer in {} s", ANSWER.as_secs()),
        };
        self.failed += 1;
        eprintln!("call {}: {why}", self.made);
    }
}

impl std::fmt::Display for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} failed, {} ms", self.failed, self.made, self.slowest.as_millis())
    }
}

/// What one phase showed.
#[derive(Default)]
struct Row {
    what: &'static str,
    by_old: Calls,
    by_new: Calls,
    processors: f64,
    resident_mib: f64,
}

impl Row {
    fn holds(&self) -> bool {
        let answered = |calls: &Calls| calls.failed == 0 && calls.slowest.as_millis() <= MOST_MS;
        answered(&self.by_old)
            && answered(&self.by_new)
            && self.processors <= 1.0
            && self.resident_mib <= MOST_RESIDENT_MIB
    }
}

/// Descriptors of an agent that has too few: less than a crowd at its door may take.
const FEW: &str = "40";
/// An agent whose front end calls its executor by a socket.
const SPLIT: &str = "split-agent";
/// One without: it needs no descriptors for its own calls.
const WHOLE: &str = "whole-agent";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let runtime = |mut builder: tokio::runtime::Builder| builder.enable_all().build().unwrap();
    let many = || runtime(tokio::runtime::Builder::new_multi_thread());
    let rows = match args.as_slice() {
        [_] => many().block_on(at_our_own()),
        [_, agent, folder] if agent == SPLIT || agent == WHOLE => {
            let one = runtime(tokio::runtime::Builder::new_current_thread());
            one.block_on(be_an_agent(Path::new(folder), agent == SPLIT));
            return ExitCode::SUCCESS;
        }
        [_, address, node, folder, pid, crowd] => {
            let (site, now) = (Site::open(Path::new(folder)).unwrap(), SystemTime::now());
            let other = OperatorName::try_from("storm").unwrap();
            let other = site.issue_operator(&other, Role::Viewer, HOUR, now).unwrap();
            let own = site.run_credentials(now).unwrap();
            let target = Target {
                address: address.parse().unwrap(),
                node: NodeName::try_from(node.as_str()).unwrap(),
                site: site.id(),
                operator: Arc::new(ArcSwap::from_pointee(own.credentials)),
                other_operator: Arc::new(ArcSwap::from_pointee(other.credentials)),
                crowd: crowd.parse().unwrap(),
            };
            many().block_on(crowds(&target, pid.parse().unwrap()))
        }
        _ => {
            println!("usage: storm [ADDRESS:PORT NODE STATE-FOLDER PID CROWD]");
            return ExitCode::from(2);
        }
    };
    println!("| beside | by the old connection | by new ones | processors | resident |");
    println!("|---|---|---|---|---|");
    for Row { what, by_old, by_new, processors, resident_mib } in &rows {
        println!("| {what} | {by_old} | {by_new} | {processors:.2} | {resident_mib:.1} MiB |");
    }
    ExitCode::from(u8::from(!rows.iter().all(Row::holds)))
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
    let (mut child, target) = agent(SPLIT, folder.path(), "8192").await;
    let mut rows = crowds(&target, child.id()).await;
    child.kill().unwrap();
    child.wait().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (mut child, target) = agent(WHOLE, folder.path(), FEW).await;
    let old = target.client();
    let what = "10,000 that say nothing, 40 descriptors";
    rows.push(watch(what, &target, &old, child.id(), silent(&target)).await);
    child.kill().unwrap();
    child.wait().unwrap();
    rows
}

/// An agent as a process of its own, with as many descriptors.
async fn agent(which: &str, folder: &Path, descriptors: &str) -> (Child, Target) {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}")).arg(own).arg(which).arg(folder);
    let child = command.spawn().unwrap();
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    while !folder.join("ready").exists() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let credentials = |of: &str| {
        Arc::new(ArcSwap::from_pointee(Credentials {
            chain_pem: read(&format!("{of}.chain")),
            key_pem: Secret::new(read(&format!("{of}.key"))),
            peer_roots_pem: read("roots"),
        }))
    };
    let target = Target {
        address: read("address").parse().unwrap(),
        node: NodeName::try_from("cp-1").unwrap(),
        site: read("site").parse().unwrap(),
        operator: credentials("alice"),
        other_operator: credentials("bob"),
        crowd: Ipv4Addr::new(127, 8, 0, 0),
    };
    (child, target)
}

/// Serves as the agent does, and leaves in the folder what two operators need.
async fn be_an_agent(folder: &Path, split: bool) {
    let (now, name) = (SystemTime::now(), NodeName::try_from("cp-1").unwrap());
    let roots = Roots::create(SiteId::random(), now).unwrap();
    let key = NodeKey::generate().unwrap();
    let request = SigningRequest::from_der(&key.request().unwrap()).unwrap();
    let issued = roots.certify_node(&name, &request, now).unwrap();
    let config = server_config(&roots.grant(issued.chain).credentials(key.to_pem())).unwrap();
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();

    let write = |file: &str, text: &str| std::fs::write(folder.join(file), text).unwrap();
    for who in ["alice", "bob"] {
        let operator = OperatorName::try_from(who).unwrap();
        let operator = roots.operator(&operator, Role::Viewer, HOUR, now).unwrap();
        write(&format!("{who}.chain"), &operator.chain_pem);
        write(&format!("{who}.key"), operator.key_pem.expose());
        write("roots", &operator.peer_roots_pem);
    }
    write("address", &listener.local_addr().unwrap().to_string());
    write("site", &roots.site().to_string());
    write("ready", "");

    let worker = Worker::open(Arc::new(FakeHost::bare()), goal::of, "/state").await.unwrap();
    let mut executor: Arc<dyn Execute> = Arc::new(Local(worker));
    if split {
        let path = folder.join("executor.sock");
        let socket = UnixListener::bind(&path).unwrap();
        tokio::spawn(executor::listen(socket, Admission::of_this_process(), executor));
        executor = Arc::new(OverSocket::at(path));
    }
    let service = service(executor, name, Access::of_site(roots.site()));
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
    let mut row = Row { what, ..Row::default() };
    while began.elapsed() < PHASE {
        row.by_old.make(old.clone()).await;
        row.by_new.make(target.client()).await;
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
        let target = target.clone();
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = target.connect(number).await {
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
        let target = target.clone();
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = target.connect(number).await {
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

/// An operator who begins calls without end and waits for none.
fn fickle(target: &Target) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for _ in 0..FICKLE {
        let target = target.clone();
        crowd.spawn(async move {
            let mut client = target.client_of(&target.other_operator);
            loop {
                let call = client.describe(DescribeRequest { claim: None });
                if timeout(Duration::from_micros(300), call)
                    .await
                    .is_ok_and(|answer| answer.is_err())
                {
                    client = target.client_of(&target.other_operator);
                }
            }
        });
    }
    crowd
}
