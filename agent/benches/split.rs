//! What the socket between the roles of an agent costs: a check of one goal by a worker of the same
//! process, and by one behind the socket, on a thread and a runtime of its own. Fails above the limit.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use quorate_agent::caller::Caller;
use quorate_agent::executor::{Call, Execute, OverSocket, Reply, Request, listen};
use quorate_agent::goal;
use quorate_agent::host::fake::FakeHost;
use quorate_agent::host::linux::socket::Admission;
use quorate_agent::local::Local;
use quorate_agent::worker::Worker;
use quorate_proto::Goal;
use quorate_proto::goal::HostGoal;
use quorate_proto::trust::OperatorName;
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};

/// What the socket may add to a call.
const LIMIT: Duration = Duration::from_millis(1);
const CALLS: usize = 2000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<ExitCode> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("executor.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path)?;
    socket.set_nonblocking(true)?;
    let behind = runtime()?;
    std::thread::spawn(move || behind.block_on(executor(socket)));

    let ours = runtime()?;
    let near: Arc<dyn Execute> = Arc::new(Local(ours.block_on(worker())?));
    let far: Arc<dyn Execute> = Arc::new(OverSocket::at(path));
    let (mut in_process, mut split) = (Vec::new(), Vec::new());
    // In turn, so that a busy moment of the machine falls on both.
    for _ in 0..CALLS {
        in_process.push(ours.block_on(check(&*near))?);
        split.push(ours.block_on(check(&*far))?);
    }
    let (in_process, split) = (median(in_process), median(split));
    let more = split.saturating_sub(in_process);
    let line = format!("a check: in process {in_process:?}, split {split:?}, {more:?} more\n");
    std::io::stdout().write_all(line.as_bytes())?;
    Ok(if more <= LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn worker() -> Outcome<Arc<Worker>> {
    Ok(Worker::open(Arc::new(FakeHost::bare()), goal::of, "/state").await?)
}

async fn executor(socket: std::os::unix::net::UnixListener) -> Option<()> {
    let socket = UnixListener::from_std(socket).ok()?;
    let worker = worker().await.ok()?;
    listen(socket, Admission::of_this_process(), Arc::new(Local(worker))).await;
    None
}

async fn check(executor: &dyn Execute) -> Outcome<Duration> {
    let caller =
        Caller { operator: OperatorName::try_from("alice")?, address: "10.0.0.9:40000".parse()? };
    let request =
        Request { caller, call: Call::Check { goals: vec![Goal::Host(HostGoal::SwapOff)] } };
    let began = Instant::now();
    match executor.call(request).next().await.transpose()? {
        Some(Reply::Findings(_)) => Ok(began.elapsed()),
        other => Err(format!("{other:?} is no answer to a check").into()),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
