//! What a site remembers, in one SQLite file of its state folder: nodes and their certificates,
//! join tokens, runs. Several processes may have it open; every change is on disk when its call
//! returns. No secret is in it.
//!
//! A module for each group of tables, with its methods of [`Store`]; `migrations` makes the tables.

mod audit;
mod migrations;
mod nodes;
mod operators;
mod runs;
mod tokens;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use nodes::{CertificateState, NodeCertificate, StoredCertificate};
pub use operators::StoredOperator;
pub use runs::{Durability, StoredEvent, StoredRun};
use rusqlite::{Connection, ErrorCode};
pub(crate) use tokens::role_text;
pub use tokens::{Approval, Approved, Claimant, Claimed, TokenRecord, TokenState};

/// The file's name in the state folder.
const FILE: &str = "store.sqlite";
/// How long to wait for another process's write; those take milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// The store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("opening the store {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(
        "the store {path} is of version {found} and this quorate knows {known}; use the newer \
         quorate that wrote it"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error(
        "the store {path} is of version {found}, from before the first release, and is not taken \
         over; move the state folder away, run `quorate init`, and enrol the nodes anew"
    )]
    Older { path: PathBuf, found: i64 },
    #[error("reading {FILE} in the state folder")]
    Read(#[source] rusqlite::Error),
    #[error("writing {FILE} in the state folder")]
    Write(#[source] rusqlite::Error),
}

impl StoreError {
    /// What a person does about it.
    pub fn advice(&self) -> &'static str {
        match self.code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the file is damaged: restore it from a backup, or move store.sqlite, \
                 store.sqlite-wal and store.sqlite-shm out of the state folder; the nodes stay \
                 enrolled and the cluster as it is, while past runs and unused join tokens are lost"
            }
            Some(ErrorCode::DiskFull) => "free some space on the disk of the state folder",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "another process holds the file: `fuser store.sqlite` in the state folder names it"
            }
            Some(ErrorCode::SystemIoFailure) => {
                "see `df` and `dmesg`: the disk of the state folder is full, or fails"
            }
            _ if matches!(self, Self::Newer { .. } | Self::Older { .. }) => "nothing was changed",
            _ => "see that the state folder and the files in it are yours to read and write",
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        let error = match self {
            Self::Open { source, .. } => source.downcast_ref::<rusqlite::Error>()?,
            Self::Read(source) | Self::Write(source) => source,
            Self::Newer { .. } | Self::Older { .. } => return None,
        };
        error.sqlite_error_code()
    }
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Whether a folder has one.
    pub fn exists(folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    /// Opens the store of a state folder, and makes it where there is none.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let open = |path: &Path| -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
            // SQLite gives its own files the mode of this one.
            OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        };
        let mut connection =
            open(&path).map_err(|source| StoreError::Open { path: path.clone(), source })?;
        migrations::run(&mut connection, &path, migrations::ALL)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(writing)?;
        Ok(Self { connection })
    }
}

fn reading(error: rusqlite::Error) -> StoreError {
    StoreError::Read(error)
}

fn writing(error: rusqlite::Error) -> StoreError {
    StoreError::Write(error)
}

/// Seconds since 1970, as tables have times. A clock before 1970 counts as 1970.
pub(crate) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_store_is_private_durable_and_opens_again() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let store = Store::open(folder.path()).unwrap();
            let pragma = |name| {
                let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
                store.connection.pragma_query_value(None, name, value).unwrap()
            };
            assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
            assert_eq!(pragma("synchronous"), 2.into());
            for entry in folder.path().read_dir().unwrap() {
                let entry = entry.unwrap();
                let mode = entry.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
            }
        }
    }

    #[test]
    fn a_store_that_is_damaged_or_full_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "no database at all, ".repeat(100)).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert!(error.advice().contains("restore it from a backup"), "{error:?}");

        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.connection.pragma_update(None, "max_page_count", 1).unwrap();
        let error = (0..100).find_map(|term| store.begin_run(&runs::sample(term)).err()).unwrap();
        assert_eq!(error.advice(), "free some space on the disk of the state folder");
        assert_eq!(error.to_string(), "writing store.sqlite in the state folder");
    }
}
