//! One run at a time from one state folder. Runs from elsewhere are told apart by their terms.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use quorate_proto::RunId;
use serde::{Deserialize, Serialize};

/// Held for as long as it lives; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    pub pid: u32,
    pub run: RunId,
    /// Milliseconds since 1970.
    pub since_ms: u64,
}

/// Why a run may not begin.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// `None`: the holder has not said yet who it is.
    #[error("another run from this state folder is under way")]
    Held(Option<LockHolder>),
    #[error("locking {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl RunLock {
    /// Takes the lock of a state folder, or says who has it.
    pub fn take(folder: &Path, holder: &LockHolder) -> Result<Self, LockError> {
        let path = folder.join("apply.lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(io)?;
                return Err(LockError::Held(serde_json::from_str(&text).ok()));
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let text = serde_json::to_string(holder).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32) -> LockHolder {
        LockHolder { pid, run: RunId(format!("run-{pid}")), since_ms: 1 }
    }

    #[test]
    fn a_second_run_learns_who_holds_the_lock_and_gets_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path(), &holder(11)).unwrap();
        let second = RunLock::take(folder.path(), &holder(22));
        assert!(matches!(second, Err(LockError::Held(Some(ref held))) if *held == holder(11)));
        drop(first);
        assert!(RunLock::take(folder.path(), &holder(22)).is_ok());
    }
}
