//! A machine and goals that behave as a test says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Mutex;

use quorate_proto::goal::Kind;
use quorate_proto::{EtcdFacts, Machine};
use tokio::sync::Semaphore;

use super::*;
use crate::host::{
    ApiAnswer, ApiRequest, Clock, Command, Commands, Dns, Etcd, Files, KubeApi, Output, Unit,
    Units, UnixLine,
};

/// A machine of files, and of units that end when the test says so.
#[derive(Default)]
pub(super) struct TestHost {
    pub(super) files: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) units: Mutex<VecDeque<String>>,
    /// One permit lets one apply, or one unit, come to its end.
    pub(super) gate: Gate,
}

pub(super) struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    pub(super) fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

impl TestHost {
    pub(super) fn has(&self, path: &str) -> bool {
        self.files.lock().unwrap().contains_key(path)
    }

    pub(super) fn put(&self, path: &str, content: &[u8]) {
        self.files.lock().unwrap().insert(path.to_owned(), content.to_vec());
    }

    pub(super) fn ledger(&self) -> Content {
        serde_json::from_slice(&self.files.lock().unwrap()[LEDGER]).unwrap()
    }
}

#[async_trait]
impl Files for TestHost {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.files.lock().unwrap().get(path).cloned())
    }

    async fn read_secret(&self, _path: &str) -> Result<Option<Secret>, HostError> {
        Ok(None)
    }

    async fn blot_out(&self, _path: &str, _secret: &Secret) -> Result<usize, HostError> {
        Ok(0)
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, HostError> {
        let files = self.files.lock().unwrap();
        let within =
            |path: &String| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
        Ok(files.keys().filter_map(within).collect())
    }

    async fn write(&self, path: &str, content: &[u8], _mode: u32) -> Result<(), HostError> {
        if self.has("/full") {
            return Err(HostError::Refused("no space left".to_owned()));
        }
        self.put(path, content);
        Ok(())
    }

    async fn append(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        if self.has("/audit-full") {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(HostError::Io { attempt: format!("adding to {path}"), source });
        }
        self.files.lock().unwrap().entry(path.to_owned()).or_default().extend(content);
        Ok(())
    }

    async fn set(&self, _path: &str, _value: &str) -> Result<(), HostError> {
        Ok(())
    }

    async fn remove(&self, _path: &str) -> Result<(), HostError> {
        Ok(())
    }

    async fn sha256(&self, _path: &str) -> Result<Option<Sha256>, HostError> {
        Ok(None)
    }
}

#[async_trait]
impl Commands for TestHost {
    async fn run(&self, _command: &Command) -> Result<Output, HostError> {
        Ok(Output::default())
    }

    async fn processes(&self, _program: &str) -> Result<Vec<Vec<String>>, HostError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Units for TestHost {
    async fn run_unit(&self, _unit: &Unit, _progress: &Progress) -> Result<(), HostError> {
        Ok(())
    }

    async fn units_under_way(&self) -> Result<Vec<String>, HostError> {
        Ok(self.units.lock().unwrap().iter().cloned().collect())
    }

    async fn follow_unit(&self, name: &str, progress: &Progress) -> Result<(), HostError> {
        progress.output(format!("{name} goes on"));
        self.gate.pass().await;
        self.units.lock().unwrap().retain(|unit| unit != name);
        if !self.has("/more-to-do") {
            self.put("/holds", b"");
        }
        Ok(())
    }

    async fn stop_unit(&self, name: &str) -> Result<(), HostError> {
        self.units.lock().unwrap().retain(|unit| unit != name);
        Ok(())
    }
}

#[async_trait]
impl Clock for TestHost {
    async fn pause(&self, _time: Duration) {}
    async fn clock_ms(&self) -> u64 {
        1_000
    }
    fn uptime_ms(&self) -> u64 {
        0
    }
}

#[async_trait]
impl KubeApi for TestHost {
    async fn api(&self, _request: &ApiRequest) -> Result<ApiAnswer, HostError> {
        Err(HostError::NotYet("no API here".to_owned()))
    }
}

#[async_trait]
impl Etcd for TestHost {
    async fn etcd(&self, _peers: &[String]) -> Result<EtcdFacts, HostError> {
        Err(HostError::NotYet("no etcd here".to_owned()))
    }

    async fn remove_etcd_member(&self, _id: u64) -> Result<(), HostError> {
        Err(HostError::NotYet("no etcd here".to_owned()))
    }
}

#[async_trait]
impl Dns for TestHost {
    async fn resolve(&self, _name: &str, _server: SocketAddr) -> Result<usize, HostError> {
        Ok(0)
    }
}

#[async_trait]
impl UnixLine for TestHost {
    async fn ask_socket(&self, _path: &str, _line: &str) -> Result<String, HostError> {
        Ok(String::new())
    }
}

#[async_trait]
impl Host for TestHost {
    async fn machine(&self) -> Result<Machine, HostError> {
        Ok(Machine { clock_ms: 1_000, ..Machine::default() })
    }
}

/// Holds once `/holds` exists, and is named by how it behaves before that.
#[derive(PartialEq)]
pub(super) enum TestGoal {
    WaitsForGate,
    Panics,
    NeverChecked,
    Fails,
}

#[async_trait]
impl Ensure for TestGoal {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        if *self == Self::NeverChecked {
            std::future::pending::<()>().await;
        }
        let drift = Drift::new("/holds", "missing", "present");
        let holds = host.read("/holds").await?.is_some();
        Ok(if holds { Finding::Satisfied } else { Finding::Drifted(vec![drift]) })
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "applying");
        host.write("/begun", b"", 0o600).await?;
        match self {
            Self::WaitsForGate => host.follow_unit("none", work.progress).await,
            Self::Panics => panic!("an invariant broke"),
            Self::NeverChecked | Self::Fails => {
                Err(HostError::NotYet("the package database is locked".to_owned()))
            }
        }
    }
}

pub(super) fn goals(goal: &Goal) -> &dyn Ensure {
    let special = [
        (Kind::SwapOff, &TestGoal::WaitsForGate),
        (Kind::SystemPodsReady, &TestGoal::Panics),
        (Kind::NodesReady, &TestGoal::NeverChecked),
    ];
    special.into_iter().find(|(kind, _)| *kind == goal.kind()).map_or(&TestGoal::Fails, |it| it.1)
}
