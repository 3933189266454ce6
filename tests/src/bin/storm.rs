//! A crowd at an agent's door: connections that say nothing, that say a byte a second, and calls that are taken
//! back at once. Beside each an operator calls, by an old connection and by new ones. Its last words are a table.
//!
//! `storm ADDRESS:PORT NODE STATE-FOLDER PID`: the agent, its node's name, the coordinator's state folder, and
//! the process id of the agent's front end on this machine.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "it talks to a person, and stops at the first surprise"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use quorate::site::Site;
use quorate_proto::NodeName;
use quorate_proto::trust::{Credentials, SiteId, node_channel};
use quorate_proto::wire::node::DescribeRequest;
use quorate_proto::wire::node::node_client::NodeClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
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

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let [_, address, node, folder, pid] = args.as_slice() else {
        println!("usage: storm ADDRESS:PORT NODE STATE-FOLDER PID");
        return ExitCode::from(2);
    };
    let site = Site::open(Path::new(folder)).unwrap();
    let credentials = site.run_credentials(SystemTime::now()).unwrap().credentials;
    let target = Target {
        address: address.parse().unwrap(),
        node: NodeName::try_from(node.as_str()).unwrap(),
        site: site.id(),
        credentials: Arc::new(ArcSwap::from_pointee(credentials)),
    };
    let old = target.client();
    let mut rows = vec![watch("nobody else", &target, &old, pid, JoinSet::new()).await];
    rows.push(watch("10,000 that say nothing", &target, &old, pid, silent(&target)).await);
    rows.push(watch("1,000 of a byte a second", &target, &old, pid, slow(&target)).await);
    rows.push(watch("calls taken back at once", &target, &old, pid, fickle(&target)).await);
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

/// Calls for the length of a phase, a few times a second.
async fn watch(
    what: &'static str,
    target: &Target,
    old: &NodeClient<Channel>,
    pid: &str,
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
    for _ in 0..SILENT {
        let address = target.address;
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
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
    for _ in 0..SLOW {
        let address = target.address;
        crowd.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(address).await {
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

/// Of one process, by /proc/PID/stat, whose clock ticks a hundred times a second.
fn processor_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_mib(pid: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
