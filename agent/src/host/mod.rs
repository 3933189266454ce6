//! The machine, as goals may touch it: `linux` does it, and for tests `fake`. What goals ask of services
//! is in `services`.

mod command;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod linux;
mod services;

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{Machine, Secret, Sha256};

pub use self::command::{Command, Output, Profile, Unit};
pub use self::error::HostError;
pub use self::services::{
    ApiAnswer, ApiMethod, ApiRequest, ApiServer, Dns, Etcd, KubeApi, UnixLine,
};
use crate::progress::Progress;

/// Everything that a goal can read of a machine, do to it or ask from it.
#[async_trait]
pub trait Host: Files + Commands + Units + Clock + KubeApi + Etcd + Dns + UnixLine {
    /// What the machine is.
    async fn machine(&self) -> Result<Machine, HostError>;
}

/// Reads and changes files of the machine.
#[async_trait]
pub trait Files: Send + Sync {
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

    /// A text file's content; `None` where there is no such file.
    async fn text(&self, path: &str) -> Result<Option<String>, HostError> {
        let Some(bytes) = self.read(path).await? else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|error| HostError::Io {
            attempt: format!("reading {path} as UTF-8 text"),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        })?;
        Ok(Some(text))
    }
}

/// Runs programs, and lists those that run.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Runs a short command to its end. A status other than zero is not an error here.
    async fn run(&self, command: &Command) -> Result<Output, HostError>;
    /// Runs a question whose answer depends on the program alone, such as its version. The machine
    /// keeps a successful answer in memory until the program's file changes.
    async fn run_remembered(&self, command: &Command) -> Result<Output, HostError> {
        self.run(command).await
    }
    /// The arguments of every process that runs this program, without the program's own name.
    async fn processes(&self, program: &str) -> Result<Vec<Vec<String>>, HostError>;

    /// Runs a command that has to end with status 0, and gives what it printed.
    async fn output_of(&self, command: &Command) -> Result<String, HostError> {
        self.run(command).await?.success(command)
    }
}

/// Runs long commands as transient units of systemd.
#[async_trait]
pub trait Units: Send + Sync {
    /// Runs a long command as a transient systemd unit, which outlives the agent. Each line that
    /// it prints goes to `progress`. Any status other than zero is [`HostError::Failed`].
    async fn run_unit(&self, unit: &Unit, progress: &Progress) -> Result<(), HostError>;
    /// Units of [`Self::run_unit`] that still run, also those that an earlier agent started.
    async fn units_under_way(&self) -> Result<Vec<String>, HostError>;
    /// Follows such a unit to its end, as [`Self::run_unit`] follows its own.
    async fn follow_unit(&self, name: &str, progress: &Progress) -> Result<(), HostError>;
    /// Stops such a unit; no error where it has ended.
    async fn stop_unit(&self, name: &str) -> Result<(), HostError>;
}

/// Tells the time, and lets it pass.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Lets time pass, between two looks at something that others bring about.
    async fn pause(&self, time: Duration);
    /// The machine's clock, milliseconds since 1970, for records.
    async fn clock_ms(&self) -> u64;
    /// Milliseconds since the machine booted, for deadlines.
    fn uptime_ms(&self) -> u64;
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
