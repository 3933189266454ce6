//! The machine, as goals may touch it. `linux` is the only code that does; `fake` is for tests.

#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod linux;

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{EtcdFacts, Machine, Redactor, Secret, Sha256};
use serde_json::Value;

use crate::progress::Progress;

/// Everything that a goal can read of a machine or do to it.
#[async_trait]
pub trait Host: Send + Sync {
    /// A file's content; `None` where there is no such file.
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, HostError>;
    /// A small secret of root's own; `None` where there is no such file. Follows no link and waits for
    /// no writer, and refuses what others can read.
    async fn read_secret(&self, path: &str) -> Result<Option<Secret>, HostError>;
    /// Writes over each copy of a secret in a file, in place, durably, and with as many bytes: the file
    /// stays whose it was, and sound if it says lengths. Gives how many copies there were.
    async fn blot_out(&self, path: &str, secret: &Secret) -> Result<usize, HostError>;
    /// Names in a folder, sorted; empty where there is no such folder.
    async fn list(&self, folder: &str) -> Result<Vec<String>, HostError>;
    /// Replaces a whole file, durably: readers see the old content or the new. Makes the folder.
    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError>;
    /// Adds to a file's end, durably, in one write. Makes the file, for root alone, and its folder.
    async fn append(&self, path: &str, content: &[u8]) -> Result<(), HostError>;
    /// Sets a file of the kernel's, such as `/proc/sys/net/ipv4/ip_forward`, in place.
    async fn set(&self, path: &str, value: &str) -> Result<(), HostError>;
    /// Removes a file, durably; no error where there is none.
    async fn remove(&self, path: &str) -> Result<(), HostError>;
    /// The digest of a file that may be too large to hold; `None` where there is no such file.
    async fn sha256(&self, path: &str) -> Result<Option<Sha256>, HostError>;
    /// Runs a short command to its end. A status other than zero is not an error here.
    async fn run(&self, command: &Command) -> Result<Output, HostError>;
    /// Runs a question whose answer depends on the program alone, such as its version. The machine
    /// keeps a successful answer in memory until the program's file changes.
    async fn run_remembered(&self, command: &Command) -> Result<Output, HostError> {
        self.run(command).await
    }
    /// The arguments of every process that runs this program, without the program's own name.
    async fn processes(&self, program: &str) -> Result<Vec<Vec<String>>, HostError>;
    /// Runs a long command as a transient systemd unit, which outlives the agent. Each line that
    /// it prints goes to `progress`. Any status other than zero is [`HostError::Failed`].
    async fn run_unit(&self, unit: &Unit, progress: &Progress) -> Result<(), HostError>;
    /// Units of [`Self::run_unit`] that still run, also those that an earlier agent started.
    async fn units_under_way(&self) -> Result<Vec<String>, HostError>;
    /// Follows such a unit to its end, as [`Self::run_unit`] follows its own.
    async fn follow_unit(&self, name: &str, progress: &Progress) -> Result<(), HostError>;
    /// Stops such a unit; no error where it has ended.
    async fn stop_unit(&self, name: &str) -> Result<(), HostError>;
    /// Asks the Kubernetes API, as this node's own administrator.
    async fn api(&self, request: &ApiRequest) -> Result<ApiAnswer, HostError>;
    /// Asks etcd for its members: at this node's own member, or where there is none, at `peers`
    /// (client addresses such as `https://10.0.0.1:2379`).
    async fn etcd(&self, peers: &[String]) -> Result<EtcdFacts, HostError>;
    /// Removes a member of etcd, at this node's own member; no error where there is none of this id.
    async fn remove_etcd_member(&self, id: u64) -> Result<(), HostError>;
    /// Resolves a name at one DNS server, over UDP, and says how many addresses it gave.
    async fn resolve(&self, name: &str, server: std::net::SocketAddr) -> Result<usize, HostError>;
    /// Sends one line to a Unix socket and reads the answer to its end, as HAProxy's stats need.
    async fn ask_socket(&self, path: &str, line: &str) -> Result<String, HostError>;
    /// What the machine is.
    async fn machine(&self) -> Result<Machine, HostError>;
    /// Lets time pass, between two looks at something that others bring about.
    async fn pause(&self, time: Duration);
    /// The machine's clock, milliseconds since 1970, for records.
    async fn clock_ms(&self) -> u64 {
        self.machine().await.map_or(0, |machine| machine.clock_ms)
    }
    /// Milliseconds since the machine booted, for deadlines.
    fn uptime_ms(&self) -> u64;

    /// A text file's content; `None` where there is no such file.
    async fn text(&self, path: &str) -> Result<Option<String>, HostError> {
        let Some(bytes) = self.read(path).await? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| HostError::Io {
            attempt: format!("reading {path} as UTF-8 text"),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        Ok(Some(text))
    }

    /// Runs a command that has to end with status 0, and gives what it printed.
    async fn output_of(&self, command: &Command) -> Result<String, HostError> {
        self.run(command).await?.success(command)
    }
}

/// What stands in the place of a secret that was blotted out.
pub(crate) fn blot(length: usize) -> Vec<u8> {
    let mark = b"qrt1_REDACTED".iter().copied().chain(std::iter::repeat(b'_'));
    mark.take(length).collect()
}

/// Where these bytes begin in a text, whatever their case.
pub(crate) fn places(text: &[u8], bytes: &[u8]) -> Vec<usize> {
    let windows = text.windows(bytes.len().max(1)).enumerate();
    windows.filter(|(_, found)| found.eq_ignore_ascii_case(bytes)).map(|(at, _)| at).collect()
}

/// A program and its arguments; never a shell line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub program: String,
    pub args: Vec<String>,
    /// What the program reads.
    pub stdin: Option<Secret>,
    pub env: Vec<(String, String)>,
    pub deadline: Duration,
}

impl Command {
    /// A command with a deadline of 30 s, which any query of this machine meets.
    pub fn new(program: &str, args: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            stdin: None,
            env: Vec::new(),
            deadline: Duration::from_secs(30),
        }
    }

    /// With a deadline of its own.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// As a person would type it, for messages.
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// What a command left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + n where signal n ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// What the command printed, if it ended with status 0.
    pub fn success(self, command: &Command) -> Result<String, HostError> {
        if self.status == 0 {
            return Ok(self.stdout);
        }
        let output = last_lines(&format!("{}{}", self.stdout, self.stderr));
        Err(HostError::Failed { command: command.line(), status: self.status, output })
    }
}

/// As many of the last lines as messages carry, without secrets: of a key whose beginning is cut off
/// nobody could tell any more that it is one.
fn last_lines(text: &str) -> Vec<String> {
    let text = Redactor::default().text(text);
    let lines: Vec<&str> = text.lines().collect();
    let surplus = lines.len().saturating_sub(LINES_KEPT);
    lines.into_iter().skip(surplus).map(str::to_owned).collect()
}

/// Enough for kubeadm's longest complaint, and small enough for a message.
const LINES_KEPT: usize = 200;

/// A long command, as a transient unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub profile: Profile,
    pub command: Command,
    /// Files that exist for as long as the unit runs, mode 0600, in memory: secrets among them.
    /// The path is relative to the unit's own folder; `{dir}` stands for the folder, in an argument
    /// and in a file's text.
    pub files: Vec<(String, Secret)>,
}

impl Unit {
    /// A unit that reads no files of its own.
    pub fn new(profile: Profile, command: Command) -> Self {
        Self { profile, command, files: Vec::new() }
    }

    /// With files that exist for as long as it runs.
    pub fn with_files(self, files: Vec<(String, Secret)>) -> Self {
        Self { files, ..self }
    }
}

/// What a unit is kept from, by the kind of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// kubeadm: writes /etc/kubernetes and starts the kubelet.
    Kubeadm,
    /// apt-get and dpkg: packages may do anything, and must not be cut off half-way.
    Packages,
    /// A program that talks to a service or fetches a file: ctr, kubectl, curl.
    Client,
}

/// One request to the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiRequest {
    pub method: ApiMethod,
    /// Such as `/api/v1/nodes/cp-1`.
    pub path: String,
    pub at: ApiServer,
}

/// The methods that goals need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiMethod {
    Get,
    /// A list as rows of a table, as kubectl asks for it: small, whatever the objects hold.
    Table,
    Delete,
}

/// Which API server to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiServer {
    /// The one that runs on this node.
    Own,
    /// One address and port, such as the endpoint's. The certificate must be of this cluster.
    At(String),
    /// The cluster's endpoint, `HOST:PORT`. It may be asked before kubeadm has given this node a
    /// name in the cluster: who answers must be of the authority that the node holds, if any.
    Endpoint(String),
}

/// An answer of the API, also where it is 404.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAnswer {
    pub status: u16,
    /// JSON, or the text as a JSON string where the answer is none.
    pub body: Value,
}

/// Why the host could not do or tell something.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("{attempt}")]
    Io {
        /// Such as "reading /etc/fstab".
        attempt: String,
        #[source]
        source: std::io::Error,
    },
    /// A command ended with another status than zero.
    #[error("`{command}` ended with status {status}")]
    Failed { command: String, status: i32, output: Vec<String> },
    #[error("`{command}` did not end within {} s", deadline.as_secs())]
    Deadline { command: String, deadline: Duration, output: Vec<String> },
    /// A service did not answer: the Kubernetes API, etcd, a socket.
    #[error("{service} does not answer")]
    Silent {
        service: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host is in a state in which the goal must not be applied. Says what to do.
    #[error("{0}")]
    Refused(String),
    /// Another try may do: a locked package database, a membership that is settling.
    #[error("{0}")]
    NotYet(String),
    /// What others were to bring about did not come, for as long as it may take.
    #[error("{0}")]
    InVain(String),
}

impl HostError {
    /// The program that was to run is not on this machine.
    pub fn program_missing(&self) -> bool {
        match self {
            Self::Io { attempt, source } => {
                attempt.starts_with("running ") && source.kind() == std::io::ErrorKind::NotFound
            }
            Self::Failed { .. }
            | Self::Deadline { .. }
            | Self::Silent { .. }
            | Self::Refused(_)
            | Self::NotYet(_)
            | Self::InVain(_) => false,
        }
    }
}
