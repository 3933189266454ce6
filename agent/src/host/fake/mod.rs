//! A machine in memory, for tests. It has files, parameters of a kernel, and programs that are modelled
//! as far as goals depend on them: a state each, and no expectations of who calls what.
//!
//! Every change is counted, and can be made the last one before the agent dies.

pub mod apt;
pub mod cluster;
pub mod haproxy;
pub mod images;
mod kernel;
pub mod systemd;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{EtcdFacts, Machine, Secret, Sha256};

use self::cluster::Cluster;
use super::{
    ApiAnswer, ApiRequest, Clock, Command, Commands, Dns, Etcd, Files, Host, HostError, KubeApi,
    Output, Unit, Units, UnixLine, blot, places,
};
use crate::kubeadm::manifest::{self, StaticPod};
use crate::progress::Progress;

/// A fake machine.
#[derive(Debug)]
pub struct FakeHost(Mutex<State>);

/// What the machine holds; parts of it are modelled by the files beside this one.
#[derive(Debug, Default)]
pub struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// Of the files that were written through the host.
    pub modes: BTreeMap<String, u32>,
    pub machine: Machine,
    pub apt: apt::Apt,
    pub systemd: systemd::Systemd,
    pub images: images::Images,
    pub haproxy: haproxy::Haproxy,
    pub cluster: Cluster,
    /// The name under which kubeadm configured the kubelet.
    pub node: String,
    /// What the kubelet that runs asks for its certificate by.
    pub bootstrap: String,
    /// Milliseconds since the machine booted; only `pause` lets time pass.
    pub uptime_ms: u64,
    changes: Vec<String>,
    dies_before_change: Option<usize>,
}

impl FakeHost {
    /// A machine just installed: swap is on, no module is loaded, no package of ours is there.
    pub fn bare() -> Self {
        let mut state = State::default();
        kernel::install(&mut state);
        apt::install(&mut state);
        state.put("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 cp-1\n");
        state.put("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        Self(Mutex::new(state))
    }

    /// As bare, but with these packages installed and held, and their services as Debian starts them.
    pub fn with_packages(names: &[&str]) -> Self {
        let host = Self::bare();
        apt::preinstall(&mut host.state(), names);
        host
    }

    /// The state itself, to arrange it or to look at it. Not to be held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes were made so far.
    pub fn changes(&self) -> usize {
        self.state().changes.len()
    }

    /// The changes so far, in words.
    pub fn history(&self) -> Vec<String> {
        self.state().history()
    }

    /// After so many further changes the next one fails, as do all after it: the agent is dead.
    pub fn interrupt_after(&self, changes: usize) {
        let mut state = self.state();
        state.dies_before_change = Some(state.changes.len() + changes);
    }

    /// The agent lives again. Says whether it had died.
    pub fn revive(&self) -> bool {
        let mut state = self.state();
        state.dies_before_change.take().is_some_and(|limit| limit == state.changes.len())
    }
}

impl State {
    /// Counts a change that is about to be made, or fails where the agent dies before it.
    pub fn change(&mut self, what: impl Into<String>) -> Result<(), HostError> {
        let what = what.into();
        if self.dies_before_change.is_some_and(|limit| self.changes.len() >= limit) {
            let source = io::Error::other("the agent died before it");
            return Err(HostError::Io { attempt: what, source });
        }
        self.changes.push(what);
        Ok(())
    }

    /// The changes so far, in words.
    pub fn history(&self) -> Vec<String> {
        self.changes.clone()
    }

    /// Puts a file there, uncounted.
    pub fn put(&mut self, path: &str, content: &str) {
        self.files.insert(path.to_owned(), content.as_bytes().to_vec());
    }

    /// A file as text; empty where there is none.
    pub fn text(&self, path: &str) -> String {
        let content = self.files.get(path).map(Vec::as_slice).unwrap_or_default();
        String::from_utf8_lossy(content).into_owned()
    }

    /// Names of what lies in a folder.
    fn list(&self, folder: &str) -> Vec<String> {
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        let below = self.files.keys().filter_map(|path| path.strip_prefix(&prefix));
        let mut names: Vec<String> =
            below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn run(&mut self, command: &Command) -> Result<Output, HostError> {
        let missing = || HostError::Io {
            attempt: format!("running {}", command.line()),
            source: io::ErrorKind::NotFound.into(),
        };
        let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
        if !self.apt.has_program(&command.program) {
            return Err(missing());
        }
        match command.program.as_str() {
            "apt-cache" | "apt-get" | "apt-mark" | "dpkg" | "dpkg-query" => {
                apt::run(self, command, &args)
            }
            "systemctl" => systemd::run(self, &args),
            "modprobe" | "swapoff" => kernel::run(self, &command.program, &args),
            "ctr" | "curl" => images::run(self, &command.program, &args),
            "haproxy" => Ok(haproxy::try_out(self, &args)),
            "containerd" => {
                Ok(printed("containerd github.com/containerd/containerd 1.6.20~ds1 x\n"))
            }
            "kubeadm" if args.starts_with(&["config", "images", "list"]) => {
                Ok(images::of_kubeadm())
            }
            _ => cluster::run(self, command).unwrap_or_else(|| Err(missing())),
        }
    }
}

/// Where a unit finds its files.
const UNIT_FOLDER: &str = "/run/quorate/units/fake";

impl State {
    /// Runs a program that finds the unit's files in its folder for as long as it runs.
    fn run_unit(&mut self, unit: &Unit) -> Result<Output, HostError> {
        let path = |name: &str| format!("{UNIT_FOLDER}/{name}");
        let mut command = unit.command.clone();
        for arg in &mut command.args {
            *arg = arg.replace("{dir}", UNIT_FOLDER);
        }
        for (name, content) in &unit.files {
            self.put(&path(name), &content.expose().replace("{dir}", UNIT_FOLDER));
        }
        let ended = self.run(&command);
        for (name, _) in &unit.files {
            self.files.remove(&path(name));
        }
        ended
    }
}

/// What a program leaves that succeeded.
pub(super) fn printed(stdout: impl Into<String>) -> Output {
    Output { status: 0, stdout: stdout.into(), stderr: String::new() }
}

/// What a program leaves that failed.
pub(super) fn complaint(status: i32, stderr: impl Into<String>) -> Output {
    Output { status, stdout: String::new(), stderr: stderr.into() }
}

#[async_trait]
impl Files for FakeHost {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.state().files.get(path).cloned())
    }

    async fn read_secret(&self, path: &str) -> Result<Option<Secret>, HostError> {
        let state = self.state();
        if state.modes.get(path).is_some_and(|mode| mode & 0o077 != 0) {
            return Err(HostError::Refused(format!("{path} can be read by others")));
        }
        Ok(state.files.contains_key(path).then(|| Secret::new(state.text(path))))
    }

    async fn blot_out(&self, path: &str, secret: &Secret) -> Result<usize, HostError> {
        let mut state = self.state();
        let secret = secret.expose().as_bytes();
        let Some(mut content) = state.files.get(path).cloned() else { return Ok(0) };
        let places = places(&content, secret);
        if places.is_empty() {
            return Ok(0);
        }
        state.change(format!("blotting a secret out of {path}"))?;
        for &at in &places {
            content.splice(at..at + secret.len(), blot(secret.len()));
        }
        state.files.insert(path.to_owned(), content);
        Ok(places.len())
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, HostError> {
        Ok(self.state().list(folder))
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        let mut state = self.state();
        state.change(format!("writing {path}"))?;
        state.modes.insert(path.to_owned(), mode);
        state.files.insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    /// Uncounted: what is done is written down, and that is none of it.
    async fn append(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        self.state().files.entry(path.to_owned()).or_default().extend(content);
        Ok(())
    }

    async fn set(&self, path: &str, value: &str) -> Result<(), HostError> {
        let mut state = self.state();
        let attempt = format!("setting {path} to {value:?}");
        if !state.files.contains_key(path) {
            return Err(HostError::Io { attempt, source: io::ErrorKind::NotFound.into() });
        }
        state.change(attempt)?;
        state.files.insert(path.to_owned(), format!("{value}\n").into_bytes());
        Ok(())
    }

    async fn remove(&self, path: &str) -> Result<(), HostError> {
        let mut state = self.state();
        if state.files.contains_key(path) {
            state.change(format!("removing {path}"))?;
            state.files.remove(path);
        }
        Ok(())
    }

    async fn sha256(&self, path: &str) -> Result<Option<Sha256>, HostError> {
        Ok(self.state().files.get(path).map(|content| Sha256::of(content)))
    }
}

#[async_trait]
impl Commands for FakeHost {
    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        self.state().run(command)
    }

    /// A static pod runs as soon as its manifest is there, by its manifest.
    async fn processes(&self, program: &str) -> Result<Vec<Vec<String>>, HostError> {
        let state = self.state();
        let manifest = state.files.get(&manifest::path(program)).map(Vec::as_slice);
        let pod = StaticPod::parse(manifest.unwrap_or_default());
        let words =
            pod.map(|pod| pod.args.into_iter().map(|(name, value)| format!("--{name}={value}")));
        Ok(words.map(Iterator::collect).into_iter().collect())
    }
}

#[async_trait]
impl Units for FakeHost {
    async fn run_unit(&self, unit: &Unit, progress: &Progress) -> Result<(), HostError> {
        let output = self.state().run_unit(unit)?;
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            progress.output(line);
        }
        output.success(&unit.command).map(drop)
    }

    async fn units_under_way(&self) -> Result<Vec<String>, HostError> {
        Ok(self.state().systemd.under_way.clone())
    }

    async fn follow_unit(&self, name: &str, _progress: &Progress) -> Result<(), HostError> {
        self.state().systemd.under_way.retain(|unit| unit != name);
        Ok(())
    }

    async fn stop_unit(&self, name: &str) -> Result<(), HostError> {
        let mut state = self.state();
        state.change(format!("stopping {name}"))?;
        state.systemd.under_way.retain(|unit| unit != name);
        Ok(())
    }
}

#[async_trait]
impl Clock for FakeHost {
    async fn pause(&self, time: Duration) {
        let mut state = self.state();
        state.uptime_ms += u64::try_from(time.as_millis()).unwrap_or_default();
        haproxy::finish_reload(&mut state);
        cluster::sign_kubelet(&mut state);
    }

    async fn clock_ms(&self) -> u64 {
        self.state().machine.clock_ms
    }

    fn uptime_ms(&self) -> u64 {
        self.state().uptime_ms
    }
}

#[async_trait]
impl KubeApi for FakeHost {
    async fn api(&self, request: &ApiRequest) -> Result<ApiAnswer, HostError> {
        cluster::api(&mut self.state(), request)
    }
}

#[async_trait]
impl Etcd for FakeHost {
    async fn etcd(&self, peers: &[String]) -> Result<EtcdFacts, HostError> {
        cluster::etcd(&mut self.state(), peers)
    }

    async fn remove_etcd_member(&self, id: u64) -> Result<(), HostError> {
        cluster::remove_member(&mut self.state(), id)
    }
}

#[async_trait]
impl Dns for FakeHost {
    async fn resolve(&self, name: &str, server: SocketAddr) -> Result<usize, HostError> {
        cluster::resolve(&mut self.state(), name, server)
    }
}

#[async_trait]
impl UnixLine for FakeHost {
    async fn ask_socket(&self, path: &str, line: &str) -> Result<String, HostError> {
        haproxy::answer(&self.state(), path, line)
    }
}

#[async_trait]
impl Host for FakeHost {
    async fn machine(&self) -> Result<Machine, HostError> {
        Ok(self.state().machine.clone())
    }
}
