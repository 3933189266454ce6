//! Remembers what programs answered for as long as their files stay the same. A check that finds
//! nothing to do asks kubeadm the same question each time, and kubeadm is slow to start.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::host::{Command, Output};

/// Tells one file from what replaces it at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// Answers by command line and environment.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, (Stamp, Output)>>);

impl Memory {
    /// The answer to this command, if its program is the one that gave it.
    pub(super) fn recall(&self, command: &Command, stamp: Option<&Stamp>) -> Option<Output> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, output) = answers.get(&key(command))?;
        stamp.is_some_and(|stamp| stamp == of).then(|| output.clone())
    }

    /// Keeps a successful answer. `stamp` was taken before the program ran.
    pub(super) fn keep(&self, command: &Command, stamp: Option<Stamp>, output: &Output) {
        let Some(stamp) = stamp.filter(|_| output.status == 0) else { return };
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(key(command), (stamp, output.clone()));
    }
}

/// What a program reads on its standard input is not in it: a caller names that in the environment.
fn key(command: &Command) -> String {
    let env: Vec<String> =
        command.env.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    env.concat() + &command.line()
}

/// The stamp of the file that a program's name means in `path`.
pub(super) fn stamp(program: &str, path: &str) -> Option<Stamp> {
    let mut folders = path.split(':').map(PathBuf::from);
    let meta = folders.find_map(|folder| std::fs::metadata(folder.join(program)).ok())?;
    let changed = (meta.ctime(), meta.ctime_nsec());
    Some(Stamp { inode: meta.ino(), length: meta.len(), changed })
}
