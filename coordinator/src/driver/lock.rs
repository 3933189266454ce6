//! One run at a time from one state folder. Runs from elsewhere are told apart by their terms.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_proto::RunId;
use serde::{Deserialize, Serialize};

/// Tries to take the lock, and the pause after each.
const LOOKS: u32 = 20;
const LOOK: Duration = Duration::from_millis(5);

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
        if !alone(&file).map_err(io)? {
            return Err(LockError::Held(named(&mut file).map_err(io)?));
        }
        let text = serde_json::to_string(holder).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock now; `None` where nobody does, or the holder has not said yet who it is.
    pub fn holder(folder: &Path) -> Result<Option<LockHolder>, LockError> {
        let path = folder.join("apply.lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
        };
        match file.try_lock_shared() {
            // What is written there is of a holder that is gone.
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => named(&mut file).map_err(io),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

/// Takes the lock. Who only looks at it has it for some microseconds, and that must not turn a run
/// away.
fn alone(file: &File) -> io::Result<bool> {
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
    Ok(false)
}

fn named(file: &mut File) -> io::Result<Option<LockHolder>> {
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text).ok())
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

    #[test]
    fn who_looks_learns_the_holder_only_while_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(RunLock::holder(folder.path()).unwrap(), None);
        let lock = RunLock::take(folder.path(), &holder(11)).unwrap();
        assert_eq!(RunLock::holder(folder.path()).unwrap(), Some(holder(11)));
        drop(lock);
        assert_eq!(RunLock::holder(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_look_at_the_lock_does_not_turn_a_run_away() {
        let folder = tempfile::tempdir().unwrap();
        drop(RunLock::take(folder.path(), &holder(11)).unwrap());
        let look = File::open(folder.path().join("apply.lock")).unwrap();
        look.lock_shared().unwrap();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| RunLock::take(folder.path(), &holder(22)));
            drop(look);
            assert!(taken.join().unwrap().is_ok());
        });
    }
}
