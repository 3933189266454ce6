//! A large site's first boot: 1,000 machines enrol at once, each with a token, a key and an address of its
//! own, with a coordinator that has one processor. Its last words are a table.
//!
//! `enrol-storm PROGRAM`: the program `quorate`. It needs some 4,000 descriptors.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it talks to a person, and stops at the first surprise"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use quorate::site::{Site, TokenTerms};
use quorate::spec::Role;
use quorate::store::Approval;
use quorate_agent::enrol::{Answer, Remedy, claim};
use quorate_proto::trust::{JoinToken, NodeKey};
use quorate_proto::{Machine, NodeName};
use quorate_tests::process::{processor_seconds, resident_mib};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

const AGENTS: u32 = 1_000;
/// As `quorate-agent-enrol.service` tries again.
const AGAIN: Duration = Duration::from_secs(15);
const MOST: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let Some(program) = std::env::args().nth(1) else {
        println!("usage: enrol-storm PROGRAM");
        return ExitCode::from(2);
    };
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let site = Site::create(&state, SystemTime::now()).unwrap();
    let machines: Vec<(NodeName, JoinToken, NodeKey)> = (0..AGENTS)
        .map(|number| {
            let name = NodeName::try_from(format!("n-{number}").as_str()).unwrap();
            let ttl = Duration::from_hours(1);
            let terms = TokenTerms { role: Role::Worker, approval: Approval::Auto, ttl };
            let token = site.issue_token(&name, &terms, SystemTime::now()).unwrap();
            (name, token.text.expose().parse().unwrap(), NodeKey::generate().unwrap())
        })
        .collect();

    let address = unused_address();
    let mut coordinator = coordinator(&program, &state, address);
    let pid = coordinator.id();
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let door = relay(address).await.to_string();

    let (began, before) = (Instant::now(), processor_seconds(pid));
    let claims = Arc::new(AtomicU32::new(0));
    let mut agents = JoinSet::new();
    for (name, token, key) in machines {
        let (door, claims) = (door.clone(), Arc::clone(&claims));
        agents.spawn(async move {
            loop {
                claims.fetch_add(1, Ordering::Relaxed);
                match claim(&door, &token, &key, &Machine::default()).await {
                    Ok(Answer::Granted(identity)) => break assert_eq!(identity.node, name),
                    Ok(Answer::Waits(_)) => unreachable!("no person is asked"),
                    Err(error) => assert_eq!(error.remedy(), Remedy::Again, "{error:?}"),
                }
                tokio::time::sleep(AGAIN).await;
            }
            began.elapsed()
        });
    }
    let mut times = agents.join_all().await;
    times.sort_unstable();
    let (all, half) = (began.elapsed(), times.get(times.len() / 2).copied().unwrap());
    let (busy, resident) = (processor_seconds(pid) - before, resident_mib(pid));
    coordinator.kill().unwrap();
    coordinator.wait().unwrap();

    println!(
        "| agents | claims | half of them after | all after | coordinator's processor | resident |"
    );
    println!("|---|---|---|---|---|---|");
    println!(
        "| {AGENTS} | {} | {:.1} s | {:.1} s | {busy:.1} s, {:.1} ms each, {:.2} of one | {resident:.1} MiB |",
        claims.load(Ordering::Relaxed),
        half.as_secs_f64(),
        all.as_secs_f64(),
        busy * 1_000.0 / f64::from(AGENTS),
        busy / all.as_secs_f64(),
    );
    ExitCode::from(u8::from(all > MOST))
}

fn unused_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// `quorate serve` on the first processor alone.
fn coordinator(program: &str, state: &std::path::Path, address: SocketAddr) -> Child {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0", program, "serve", "--listen", &address.to_string()]);
    command.arg("--state").arg(state);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Leads to the coordinator, each connection from another address, as those of machines are.
async fn relay(to: SocketAddr) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener: TcpListener = socket.listen(AGENTS).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in (0..AGENTS).cycle() {
            let (mut theirs, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let [_, _, high, low] = number.to_be_bytes();
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((Ipv4Addr::new(127, 7, high, low), 0).into()).unwrap();
                if let Ok(mut ours) = socket.connect(to).await {
                    copy_bidirectional(&mut theirs, &mut ours).await.ok();
                }
            });
        }
    });
    address
}
