//! Programs to run, and what they leave.

use std::time::Duration;

use quorate_proto::{Redactor, Secret};

use super::HostError;

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
pub(super) fn last_lines(text: &str) -> Vec<String> {
    let text = Redactor::default().text(text);
    let lines: Vec<&str> = text.lines().collect();
    let surplus = lines.len().saturating_sub(LINES_KEPT);
    lines.into_iter().skip(surplus).map(str::to_owned).collect()
}

/// Enough for kubeadm's longest complaint, and small enough for a message.
pub(super) const LINES_KEPT: usize = 200;

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
