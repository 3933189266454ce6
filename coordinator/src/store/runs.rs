//! Runs and their events: evidence for people, never state that a run starts from. Delete them and
//! only history is lost.

use quorate_proto::RunId;
use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError, reading, writing};
use crate::run::{Outcome, Stamped};

/// The tables of this module.
pub(super) const TABLES: &str = "
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, term INTEGER NOT NULL, spec_sha256 TEXT NOT NULL,
        started_ms INTEGER NOT NULL, ended_ms INTEGER, outcome TEXT
    ) STRICT;
    CREATE TABLE events (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, seq INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, event TEXT NOT NULL, PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
";

/// A run as history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    pub id: RunId,
    pub term: u64,
    /// Digest of the specification's text.
    pub spec_sha256: String,
    /// Milliseconds since 1970.
    pub started_ms: u64,
    /// `None`: under way, or its coordinator died.
    pub ended_ms: Option<u64>,
}

impl Store {
    /// The highest term that any run from this state folder had; 0 before the first.
    pub fn newest_term(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(term), 0) FROM runs";
        self.connection.query_row(sql, [], |row| row.get(0).map(natural)).map_err(reading)
    }

    /// Records that a run begins.
    pub fn begin_run(&self, run: &StoredRun) -> Result<(), StoreError> {
        let sql = "INSERT INTO runs (id, term, spec_sha256, started_ms) VALUES (?, ?, ?, ?)";
        let values = params![run.id.0, int(run.term), run.spec_sha256, int(run.started_ms)];
        self.connection.execute(sql, values).map_err(writing)?;
        Ok(())
    }

    /// Appends events of a run, all or none. They are on disk when this returns.
    pub fn append_events(&mut self, run: &RunId, events: &[Stamped]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(writing)?;
        let sql = "INSERT INTO events (run, seq, at_ms, event) VALUES (?, ?, ?, ?)";
        let mut insert = transaction.prepare(sql).map_err(writing)?;
        for Stamped { seq, at_ms, event } in events {
            let json = serde_json::to_string(event).unwrap_or_default();
            insert.execute(params![run.0, int(*seq), int(*at_ms), json]).map_err(writing)?;
        }
        drop(insert);
        transaction.commit().map_err(writing)
    }

    /// Records how a run ended.
    pub fn end_run(&self, run: &RunId, ended_ms: u64, outcome: &Outcome) -> Result<(), StoreError> {
        let json = serde_json::to_string(outcome).unwrap_or_default();
        let sql = "UPDATE runs SET ended_ms = ?, outcome = ? WHERE id = ?";
        self.connection.execute(sql, params![int(ended_ms), json, run.0]).map_err(writing)?;
        Ok(())
    }

    /// The newest run, if there was one.
    pub fn newest_run(&self) -> Result<Option<StoredRun>, StoreError> {
        let sql = "SELECT id, term, spec_sha256, started_ms, ended_ms FROM runs \
                   ORDER BY term DESC LIMIT 1";
        let run = self.connection.query_row(sql, [], |row| {
            Ok(StoredRun {
                id: RunId(row.get(0)?),
                term: row.get(1).map(natural)?,
                spec_sha256: row.get(2)?,
                started_ms: row.get(3).map(natural)?,
                ended_ms: row.get::<_, Option<i64>>(4)?.map(natural),
            })
        });
        run.optional().map_err(reading)
    }

    /// The events of a run, in their order. Events of another version of quorate are left out.
    pub fn events(&self, run: &RunId) -> Result<Vec<Stamped>, StoreError> {
        let sql = "SELECT seq, at_ms, event FROM events WHERE run = ? ORDER BY seq";
        let mut select = self.connection.prepare(sql).map_err(reading)?;
        let rows = select.query_map(params![run.0], |row| {
            let (seq, at_ms) = (row.get(0).map(natural)?, row.get(1).map(natural)?);
            Ok((seq, at_ms, row.get::<_, String>(2)?))
        });
        let rows: Result<Vec<_>, _> = rows.map_err(reading)?.collect();
        let read = |(seq, at_ms, json): (u64, u64, String)| {
            serde_json::from_str(&json).ok().map(|event| Stamped { seq, at_ms, event })
        };
        Ok(rows.map_err(reading)?.into_iter().filter_map(read).collect())
    }
}

/// SQLite's integers have a sign. None of ours comes near their end.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunEvent;

    fn run(id: &str, term: u64) -> StoredRun {
        StoredRun {
            id: RunId(id.to_owned()),
            term,
            spec_sha256: "0".repeat(64),
            started_ms: 1_700_000_000_000,
            ended_ms: None,
        }
    }

    #[test]
    fn a_run_and_its_events_come_back_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.newest_term().unwrap(), 0);
        assert_eq!(store.newest_run().unwrap(), None);
        let (first, second) = (run("a", 1), run("b", 9));
        store.begin_run(&first).unwrap();
        store.begin_run(&second).unwrap();
        let event = |seq| Stamped { seq, at_ms: seq * 100, event: RunEvent::Interrupted };
        store.append_events(&second.id, &[event(1), event(2)]).unwrap();
        store.append_events(&second.id, &[event(3)]).unwrap();
        store.end_run(&second.id, 5, &Outcome::Holds).unwrap();

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.newest_term().unwrap(), 9);
        let ended = StoredRun { ended_ms: Some(5), ..second.clone() };
        assert_eq!(store.newest_run().unwrap(), Some(ended));
        assert_eq!(store.events(&second.id).unwrap(), [event(1), event(2), event(3)]);
        assert_eq!(store.events(&first.id).unwrap(), []);
    }

    #[test]
    fn events_are_stored_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let one = run("a", 1);
        store.begin_run(&one).unwrap();
        let event = Stamped { seq: 1, at_ms: 0, event: RunEvent::Interrupted };
        assert!(store.append_events(&one.id, &[event.clone(), event]).is_err());
        assert_eq!(store.events(&one.id).unwrap(), []);
    }
}
