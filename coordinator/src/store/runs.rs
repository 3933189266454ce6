//! Runs and their events: evidence for people, never state that a run starts from. Delete them and
//! only history is lost.

use quorate_proto::RunId;
use rusqlite::{Transaction, params};

use super::{Store, StoreError, reading, writing};
use crate::run::{Outcome, Stamped};

/// Runs that are kept. A day of one every quarter of an hour fits, and a run of a hundred nodes has
/// some megabytes.
const KEPT: u64 = 100;

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
    /// `None` too where another version of quorate wrote one that this one does not know.
    pub outcome: Option<Outcome>,
}

/// An event as it was stored, by this version of quorate or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub seq: u64,
    pub at_ms: u64,
    /// [`crate::run::RunEvent`] as JSON, to the letter.
    pub json: String,
}

impl StoredEvent {
    /// The event; `None` where only another version of quorate knows it.
    pub fn read(&self) -> Option<Stamped> {
        let Self { seq, at_ms, json } = self;
        let event = serde_json::from_str(json).ok()?;
        Some(Stamped { seq: *seq, at_ms: *at_ms, event })
    }
}

/// What events outlive once they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of this process, SIGKILL too: the system has them. Some ten microseconds.
    Process,
    /// A power cut: the disk has them, and all that was stored before. Milliseconds.
    Machine,
}

impl Store {
    /// The highest term that any run from this state folder had; 0 before the first.
    pub fn newest_term(&self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(term), 0) FROM runs";
        self.connection.query_row(sql, [], |row| row.get(0).map(natural)).map_err(reading)
    }

    /// Records that a run begins, and forgets those that are too old to be kept.
    pub fn begin_run(&mut self, run: &StoredRun) -> Result<(), StoreError> {
        let begin = |transaction: &Transaction<'_>| {
            let sql = "INSERT INTO runs (id, term, spec_sha256, started_ms) VALUES (?, ?, ?, ?)";
            let StoredRun { id, term, spec_sha256, started_ms, .. } = run;
            transaction.execute(sql, params![id.0, int(*term), spec_sha256, int(*started_ms)])?;
            let sql = "DELETE FROM runs WHERE id NOT IN \
                       (SELECT id FROM runs ORDER BY term DESC, id DESC LIMIT ?)";
            transaction.execute(sql, params![int(KEPT)])
        };
        self.write(|transaction| begin(transaction).map(drop))
    }

    /// Appends events of a run, all or none.
    pub fn append_events(
        &mut self,
        run: &RunId,
        events: &[Stamped],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let synchronous = match durability {
            Durability::Process => "NORMAL",
            Durability::Machine => "FULL",
        };
        self.connection.pragma_update(None, "synchronous", synchronous).map_err(writing)?;
        let appended = self.write(|transaction| insert(transaction, run, events));
        // Whatever else is stored here is to outlive a power cut.
        self.connection.pragma_update(None, "synchronous", "FULL").map_err(writing)?;
        appended
    }

    /// Appends the last events of a run and records how it ended, both or neither.
    pub fn end_run(
        &mut self,
        run: &RunId,
        last: &[Stamped],
        ended_ms: u64,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let json = serde_json::to_string(outcome).unwrap_or_default();
        self.write(|transaction| {
            insert(transaction, run, last)?;
            let sql = "UPDATE runs SET ended_ms = ?, outcome = ? WHERE id = ?";
            transaction.execute(sql, params![int(ended_ms), json, run.0]).map(drop)
        })
    }

    /// The runs that are kept, newest first: terms grow, whatever the clock does.
    pub fn runs(&self) -> Result<Vec<StoredRun>, StoreError> {
        let sql = "SELECT id, term, spec_sha256, started_ms, ended_ms, outcome FROM runs \
                   ORDER BY term DESC, id DESC";
        let mut select = self.connection.prepare(sql).map_err(reading)?;
        let runs = select.query_map([], |row| {
            let outcome = row.get::<_, Option<String>>(5)?;
            Ok(StoredRun {
                id: RunId(row.get(0)?),
                term: row.get(1).map(natural)?,
                spec_sha256: row.get(2)?,
                started_ms: row.get(3).map(natural)?,
                ended_ms: row.get::<_, Option<i64>>(4)?.map(natural),
                outcome: outcome.and_then(|json| serde_json::from_str(&json).ok()),
            })
        });
        runs.map_err(reading)?.collect::<Result<_, _>>().map_err(reading)
    }

    /// The newest run, if there was one.
    pub fn newest_run(&self) -> Result<Option<StoredRun>, StoreError> {
        Ok(self.runs()?.into_iter().next())
    }

    /// The events of a run, in their order.
    pub fn events(&self, run: &RunId) -> Result<Vec<StoredEvent>, StoreError> {
        self.select_events(run, "SELECT seq, at_ms, event FROM events WHERE run = ? ORDER BY seq")
    }

    /// Those events that change what a run adds up to: without the lines that commands printed,
    /// which are most.
    pub fn milestones(&self, run: &RunId) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT seq, at_ms, event FROM events WHERE run = ? \
                   AND event NOT LIKE '{\"kind\":\"told\",%,\"event\":{\"output\":%' ORDER BY seq";
        self.select_events(run, sql)
    }

    fn select_events(&self, run: &RunId, sql: &str) -> Result<Vec<StoredEvent>, StoreError> {
        let mut select = self.connection.prepare(sql).map_err(reading)?;
        let rows = select.query_map(params![run.0], |row| {
            let (seq, at_ms) = (row.get(0).map(natural)?, row.get(1).map(natural)?);
            Ok(StoredEvent { seq, at_ms, json: row.get(2)? })
        });
        rows.map_err(reading)?.collect::<Result<_, _>>().map_err(reading)
    }

    fn write(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(writing)?;
        change(&transaction).map_err(writing)?;
        transaction.commit().map_err(writing)
    }
}

fn insert(
    transaction: &Transaction<'_>,
    run: &RunId,
    events: &[Stamped],
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO events (run, seq, at_ms, event) VALUES (?, ?, ?, ?)";
    let mut insert = transaction.prepare(sql)?;
    for Stamped { seq, at_ms, event } in events {
        let json = serde_json::to_string(event).unwrap_or_default();
        insert.execute(params![run.0, int(*seq), int(*at_ms), json])?;
    }
    Ok(())
}

/// SQLite's integers have a sign. None of ours comes near their end.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
pub(super) fn sample(term: u64) -> StoredRun {
    StoredRun {
        id: RunId(format!("run-{term}")),
        term,
        spec_sha256: "0".repeat(64),
        started_ms: 1_700_000_000_000,
        ended_ms: None,
        outcome: None,
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::{Event, StepId};

    use super::*;
    use crate::run::RunEvent;

    fn run(id: &str, term: u64) -> StoredRun {
        StoredRun { id: RunId(id.to_owned()), ..sample(term) }
    }

    fn event(seq: u64) -> Stamped {
        Stamped { seq, at_ms: seq * 100, event: RunEvent::Interrupted }
    }

    fn read(store: &Store, run: &RunId) -> Vec<Stamped> {
        store.events(run).unwrap().iter().filter_map(StoredEvent::read).collect()
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
        store.append_events(&second.id, &[event(1), event(2)], Durability::Process).unwrap();
        store.append_events(&second.id, &[event(3)], Durability::Machine).unwrap();
        store.end_run(&second.id, &[event(4)], 5, &Outcome::Holds).unwrap();

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.newest_term().unwrap(), 9);
        let ended =
            StoredRun { ended_ms: Some(5), outcome: Some(Outcome::Holds), ..second.clone() };
        assert_eq!(store.newest_run().unwrap(), Some(ended.clone()));
        assert_eq!(store.runs().unwrap(), [ended, first.clone()]);
        assert_eq!(read(&store, &second.id), [event(1), event(2), event(3), event(4)]);
        assert_eq!(read(&store, &first.id), []);
    }

    #[test]
    fn events_are_stored_all_or_none_and_so_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let one = run("a", 1);
        store.begin_run(&one).unwrap();
        let twice = [event(1), event(1)];
        assert!(store.append_events(&one.id, &twice, Durability::Process).is_err());
        assert!(store.end_run(&one.id, &twice, 5, &Outcome::Holds).is_err());
        assert_eq!(store.events(&one.id).unwrap(), []);
        assert_eq!(store.runs().unwrap(), [one]);
    }

    #[test]
    fn what_else_is_stored_still_reaches_the_disk_after_events_that_did_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.begin_run(&run("a", 1)).unwrap();
        store.append_events(&run("a", 1).id, &[event(1)], Durability::Process).unwrap();
        let level: i64 =
            store.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(level, 2, "FULL");
    }

    #[test]
    fn the_newest_hundred_runs_are_kept_with_their_events() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        for term in 1..=102 {
            let one = sample(term);
            store.begin_run(&one).unwrap();
            store.append_events(&one.id, &[event(1)], Durability::Process).unwrap();
        }
        let kept: Vec<u64> = store.runs().unwrap().iter().map(|run| run.term).collect();
        assert_eq!(kept, (3..=102).rev().collect::<Vec<_>>());
        let events: u64 = store
            .connection
            .query_row("SELECT count(*) FROM events", [], |row| row.get(0).map(natural))
            .unwrap();
        assert_eq!(events, 100);
    }

    #[test]
    fn the_milestones_of_a_run_are_all_but_the_lines_that_commands_printed() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.begin_run(&run("a", 1)).unwrap();
        let step = StepId { node: "cp-1".try_into().unwrap(), goal: "packages".into() };
        let line = "{\"output\": \"no\"}".to_owned();
        let told = |event| RunEvent::Told { step: step.clone(), event };
        let why = "\"event\":{\"output\":1}".to_owned();
        let all = [
            RunEvent::Interrupted,
            told(Event::Output { line }),
            told(Event::Started { attached: false }),
            RunEvent::Broken { step: step.clone(), why },
        ];
        let all: Vec<Stamped> =
            (1..).zip(all).map(|(seq, event)| Stamped { seq, at_ms: 0, event }).collect();
        store.append_events(&run("a", 1).id, &all, Durability::Process).unwrap();
        let milestones = store.milestones(&run("a", 1).id).unwrap();
        let places: Vec<u64> = milestones.iter().map(|event| event.seq).collect();
        assert_eq!(places, [1, 3, 4]);
    }

    #[test]
    fn an_event_of_another_version_keeps_its_place_and_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.begin_run(&run("a", 1)).unwrap();
        store.append_events(&run("a", 1).id, &[event(1)], Durability::Process).unwrap();
        let json = "{\"kind\":\"drained\",\"node\":\"cp-1\"}";
        let sql = "INSERT INTO events VALUES ('a', 2, 200, ?)";
        store.connection.execute(sql, [json]).unwrap();
        let events = store.events(&run("a", 1).id).unwrap();
        assert_eq!(events[0].read(), Some(event(1)));
        assert_eq!(events[1], StoredEvent { seq: 2, at_ms: 200, json: json.to_owned() });
        assert_eq!(events[1].read(), None);
    }
}
