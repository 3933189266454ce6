//! What a site remembers, in one SQLite file of its state folder: nodes and their certificates,
//! join tokens, runs. Several processes may have it open; every change is on disk when its call
//! returns. No secret is in it.
//!
//! A module for each group of tables: its `TABLES` and its methods of [`Store`].

mod nodes;
mod runs;
mod tokens;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use nodes::StoredCertificate;
pub use runs::{Durability, StoredEvent, StoredRun};
use rusqlite::{Connection, TransactionBehavior};
pub use tokens::{Claimed, TokenRecord, TokenState};

/// The file's name in the state folder.
const FILE: &str = "store.sqlite";
/// Every table, made with the file. Parents before those that refer to them.
const TABLES: &[&str] = &[nodes::TABLES, tokens::TABLES, runs::TABLES];
/// Of the tables; a change of them needs a higher number and a way from the one before.
const VERSION: i64 = 1;
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
        "the store {path} is of version {found} and this quorate knows {VERSION}; use the newer \
         quorate that wrote it"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("reading the store")]
    Read(#[source] rusqlite::Error),
    #[error("writing the store; see that its disk has room and is writable")]
    Write(#[source] rusqlite::Error),
}

/// The open store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
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
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok(connection)
        };
        let mut connection =
            open(&path).map_err(|source| StoreError::Open { path: path.clone(), source })?;
        match make_tables(&mut connection).map_err(writing)? {
            VERSION => Ok(Self { connection }),
            found => Err(StoreError::Newer { path, found }),
        }
    }
}

/// Makes the tables of a new file and gives the version that the file has.
fn make_tables(connection: &mut Connection) -> Result<i64, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found != 0 {
        return Ok(found);
    }
    for tables in TABLES {
        transaction.execute_batch(tables)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
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
    fn a_store_of_a_newer_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.connection.pragma_update(None, "user_version", 2).unwrap();
        drop(store);
        let error = Store::open(folder.path()).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, .. }), "{error}");
    }
}
