//! The machine itself: a Linux with systemd. By topic: files, commands, units, facts, and a memory of
//! what programs answered and of servers that did not.

mod command;
mod files;
mod machine;
mod memory;
mod output;
mod place;
mod secret;
mod servers;
pub mod socket;
mod unit;
pub mod user;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use quorate_proto::{Machine, Secret, Sha256};
use tokio::time;

use self::place::Place;
use super::{Clock, Command, Commands, Files, Host, HostError, Output, Unit, Units};
use crate::progress::Progress;

/// Where programs are looked for, whatever the agent's own environment says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine that the agent runs on.
#[derive(Debug)]
pub struct LinuxHost {
    root: PathBuf,
    path: String,
    memory: memory::Memory,
    pub(crate) servers: servers::Servers,
    started: Instant,
    uptime_at_start: Duration,
}

impl LinuxHost {
    /// This machine.
    pub fn new() -> Self {
        Self::under(PathBuf::from("/"), PATH.to_owned())
    }

    /// A machine whose files lie under `root` and whose programs are looked for in `path`.
    fn under(root: PathBuf, path: String) -> Self {
        let uptime_at_start = machine::uptime(&root);
        let started = Instant::now();
        Self {
            root,
            path,
            memory: memory::Memory::default(),
            servers: servers::Servers::default(),
            started,
            uptime_at_start,
        }
    }

    /// Returns where a file of the machine is.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

impl Default for LinuxHost {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Files for LinuxHost {
    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, HostError> {
        let at = self.at(path);
        files::blocking(format!("reading {path}"), move || files::read(&at)).await
    }

    async fn read_secret(&self, path: &str) -> Result<Option<Secret>, HostError> {
        let (at, named) = (self.at(path), path.to_owned());
        let read = files::blocking(format!("reading {path}"), move || secret::read(&at, &named));
        read.await?.map_err(HostError::Refused)
    }

    async fn blot_out(&self, path: &str, secret: &Secret) -> Result<usize, HostError> {
        let (at, secret) = (self.at(path), secret.clone());
        files::blocking(format!("blotting a secret out of {path}"), move || {
            secret::blot_out(&at, &secret)
        })
        .await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, HostError> {
        let at = self.at(folder);
        files::blocking(format!("listing {folder}"), move || files::list(&at)).await
    }

    async fn write(&self, path: &str, content: &[u8], mode: u32) -> Result<(), HostError> {
        let (root, at, content) = (self.root.clone(), path.to_owned(), content.to_vec());
        files::blocking(format!("writing {path}"), move || {
            Place::make(&root, &at)?.replace(&content, mode)
        })
        .await
    }

    async fn append(&self, path: &str, content: &[u8]) -> Result<(), HostError> {
        let (root, at, content) = (self.root.clone(), path.to_owned(), content.to_vec());
        files::blocking(format!("adding to {path}"), move || {
            Place::make(&root, &at)?.append(&content)
        })
        .await
    }

    async fn set(&self, path: &str, value: &str) -> Result<(), HostError> {
        let (root, at, text) = (self.root.clone(), path.to_owned(), value.to_owned());
        files::blocking(format!("setting {path} to {value:?}"), move || {
            let place = Place::find(&root, &at)?;
            place.ok_or(io::ErrorKind::NotFound)?.set(&text)
        })
        .await
    }

    async fn remove(&self, path: &str) -> Result<(), HostError> {
        let (root, at) = (self.root.clone(), path.to_owned());
        files::blocking(format!("removing {path}"), move || {
            Place::find(&root, &at)?.map_or(Ok(()), |place| place.remove())
        })
        .await
    }

    async fn sha256(&self, path: &str) -> Result<Option<Sha256>, HostError> {
        let at = self.at(path);
        files::blocking(format!("reading {path}"), move || files::sha256(&at)).await
    }
}

#[async_trait]
impl Commands for LinuxHost {
    async fn run(&self, command: &Command) -> Result<Output, HostError> {
        command::run(command, &self.path).await
    }

    async fn run_remembered(&self, command: &Command) -> Result<Output, HostError> {
        let stamp = memory::stamp(&command.program, &self.path);
        if let Some(output) = self.memory.recall(command, stamp.as_ref()) {
            return Ok(output);
        }
        let output = self.run(command).await?;
        self.memory.keep(command, stamp, &output);
        Ok(output)
    }

    async fn processes(&self, program: &str) -> Result<Vec<Vec<String>>, HostError> {
        let (root, program) = (self.root.clone(), program.to_owned());
        let attempt = format!("looking for processes of {program}");
        files::blocking(attempt, move || Ok(machine::processes(&root, &program))).await
    }
}

#[async_trait]
impl Units for LinuxHost {
    async fn run_unit(&self, unit: &Unit, progress: &Progress) -> Result<(), HostError> {
        unit::run(self, unit, progress).await
    }

    async fn units_under_way(&self) -> Result<Vec<String>, HostError> {
        unit::under_way(self).await
    }

    async fn follow_unit(&self, name: &str, progress: &Progress) -> Result<(), HostError> {
        unit::follow(self, name, progress).await
    }

    async fn stop_unit(&self, name: &str) -> Result<(), HostError> {
        unit::stop(self, name).await
    }
}

#[async_trait]
impl Clock for LinuxHost {
    async fn pause(&self, length: Duration) {
        time::sleep(length).await;
    }

    async fn clock_ms(&self) -> u64 {
        machine::clock_ms()
    }

    fn uptime_ms(&self) -> u64 {
        let uptime = self.uptime_at_start + self.started.elapsed();
        u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX)
    }
}

#[async_trait]
impl Host for LinuxHost {
    async fn machine(&self) -> Result<Machine, HostError> {
        let root = self.root.clone();
        files::blocking("looking at the machine".to_owned(), move || machine::describe(&root)).await
    }
}

#[cfg(test)]
mod tests;
