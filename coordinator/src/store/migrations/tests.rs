//! Files of older schemas become files of the newest, or stay as they were.

use rusqlite::types::Value;

use super::*;
use crate::store::{FILE, Store};

/// The file that quorate wrote with schema 3, with rows in every table.
const SAMPLE: &str = include_str!("sample-3.sql");

/// A state folder whose store was written by the quorate of the sample.
fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    Connection::open(folder.path().join(FILE)).unwrap().execute_batch(SAMPLE).unwrap();
    folder
}

fn connect(folder: &Path) -> Connection {
    Connection::open(folder.join(FILE)).unwrap()
}

fn version(connection: &Connection) -> i64 {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

fn tables(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let mut select = connection.prepare(sql).unwrap();
    select.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Every row of every table, by the names of tables and columns.
fn rows(connection: &Connection) -> Vec<(String, Vec<(String, Value)>)> {
    let mut all = Vec::new();
    for table in tables(connection) {
        let mut select = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = select.column_names().map(str::to_owned).collect();
        let mut found = select.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let cells = columns.iter().enumerate();
            let cells = cells.map(|(at, name)| (name.clone(), row.get(at).unwrap()));
            all.push((table.clone(), cells.collect()));
        }
    }
    all
}

#[test]
fn sample_keeps_every_row_in_todays_schema() {
    let folder = sample();
    let before = rows(&connect(folder.path()));
    let store = Store::open(folder.path()).unwrap();
    let after = rows(&store.connection);
    for (table, cells) in &before {
        let kept = after
            .iter()
            .any(|(other, now)| other == table && cells.iter().all(|cell| now.contains(cell)));
        assert!(kept, "{table}: {cells:?}");
    }
    let fresh = tempfile::tempdir().unwrap();
    let fresh = Store::open(fresh.path()).unwrap().connection;
    for table in tables(&fresh) {
        assert!(after.iter().any(|(with_rows, _)| *with_rows == table), "{table} has no row");
    }
    assert_eq!(tables(&store.connection), tables(&fresh));
    assert_eq!(version(&store.connection), version(&fresh));
}

#[test]
fn sample_is_read_by_todays_store() {
    let folder = sample();
    let store = Store::open(folder.path()).unwrap();
    let node = "cp-1".try_into().unwrap();
    let run = store.newest_run().unwrap().unwrap();
    assert_eq!(store.events(&run.id).unwrap().len(), 2);
    assert_eq!(store.node_certificates().unwrap().len(), 2);
    assert_eq!(store.newest_tokens().unwrap().len(), 2);
    assert_eq!(store.operators().unwrap().len(), 1);
    assert_eq!(store.audit_heads(&node).unwrap().len(), 1);
}

#[test]
fn steps_run_once_in_order_and_keep_children() {
    let folder = sample();
    let rebuilt = "CREATE TABLE new (id TEXT PRIMARY KEY, term INTEGER NOT NULL) STRICT;
                   INSERT INTO new SELECT id, term FROM runs;
                   DROP TABLE runs;
                   ALTER TABLE new RENAME TO runs;";
    let all = [ALL[0], (4, rebuilt), (5, "ALTER TABLE runs ADD COLUMN title TEXT;")];
    let mut connection = connect(folder.path());
    for _ in 0..2 {
        run(&mut connection, folder.path(), &all).unwrap();
        assert_eq!(version(&connection), 5);
    }
    let found = rows(&connection);
    let events = found.iter().filter(|(table, _)| table == "events").count();
    let run = found.iter().find(|(table, _)| table == "runs").unwrap();
    assert_eq!((events, run.1[2].clone()), (2, ("title".to_owned(), Value::Null)));
}

#[test]
fn failed_step_leaves_file_as_it_was() {
    let folder = sample();
    let mut connection = connect(folder.path());
    let before = rows(&connection);
    let all = [ALL[0], (4, "DELETE FROM events;"), (5, "DROP TABLE runs; SELECT * FROM nothing;")];
    let error = run(&mut connection, folder.path(), &all).unwrap_err();
    assert!(matches!(error, StoreError::Write(_)), "{error}");
    assert_eq!((rows(&connection), version(&connection)), (before, 3));
}

#[test]
fn file_of_unknown_version_is_refused() {
    let folder = sample();
    let error = |found: i64| {
        connect(folder.path()).pragma_update(None, "user_version", found).unwrap();
        let error = Store::open(folder.path()).unwrap_err();
        assert_eq!(version(&connect(folder.path())), found);
        error
    };
    assert!(matches!(error(99), StoreError::Newer { found: 99, .. }));
    assert!(matches!(error(1), StoreError::Older { found: 1, .. }));
}
