//! Short commands: a program and its arguments in a process group of their own, with a deadline.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::time;

use crate::host::command::last_lines;
use crate::host::{Command, HostError, Output};

/// More than any query prints; the rest is read and forgotten.
const KEPT: usize = 4 << 20;

/// Runs a command to its end. The environment is clean: a path, a locale, and what the command asks.
pub(super) async fn run(command: &Command, path: &str) -> Result<Output, HostError> {
    let failed = |source| HostError::Io { attempt: format!("running {}", command.line()), source };
    let mut child = tokio::process::Command::new(program(command, path))
        .args(&command.args)
        .env_clear()
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("HOME", "/root") // Go programs look for it
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended =
        time::timeout(command.deadline, finish(&mut child, command, &mut stdout, &mut stderr));
    let status = match ended.await {
        Ok(status) => status.map_err(failed)?,
        Err(_elapsed) => {
            drop(group);
            let output = last_lines(&format!("{}{}", text(&stdout), text(&stderr)));
            let (command, deadline) = (command.line(), command.deadline);
            return Err(HostError::Deadline { command, deadline, output });
        }
    };
    group.disarm();
    Ok(Output { status: code(status), stdout: text(&stdout), stderr: text(&stderr) })
}

/// Feeds and reads a child until it ends.
async fn finish(
    child: &mut Child,
    command: &Command,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> std::io::Result<ExitStatus> {
    let (stdin, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let (Some(mut stdin), Some(input)) = (stdin, &command.stdin) {
            // A program may end without reading all: its status tells what it made of that.
            stdin.write_all(input.expose().as_bytes()).await.ok();
        }
    };
    let (_, out, err, status) =
        tokio::join!(feed, collect(out, stdout), collect(err, stderr), child.wait());
    out.and(err)?;
    status
}

async fn collect(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) -> std::io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut block = vec![0; 1 << 14];
    loop {
        let count = from.read(&mut block).await?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { return Ok(()) };
        let room = KEPT.saturating_sub(into.len()).min(read.len());
        into.extend(read.iter().take(room));
    }
}

/// The program's path, by `path` and not by the agent's own PATH; relative where there is none.
pub(super) fn program(command: &Command, path: &str) -> std::path::PathBuf {
    let found = path
        .split(':')
        .map(|folder| std::path::Path::new(folder).join(&command.program))
        .find(|candidate| candidate.is_file());
    found.unwrap_or_else(|| std::path::PathBuf::from(&command.program))
}

/// As a shell tells it.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The processes of a command; killed when this is dropped, be it by deadline or by cancellation.
struct Group(Option<Pid>);

impl Group {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}
