//! The tables of the store, as numbered steps from one schema to the next. SQLite's `user_version`
//! is the number of the last step that the file has had.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{StoreError, writing};

/// A step to the schema of this number, as SQL.
type Migration = (i64, &'static str);

/// In ascending order; the first makes all tables of a new file. A step that was released is never
/// edited, as there are files that have had it: a change of the schema is a further step.
pub(super) const ALL: &[Migration] = &[(3, include_str!("migrations/3.sql"))];

/// Takes the steps that the file has not had yet, all or none.
pub(super) fn run(
    connection: &mut Connection,
    path: &Path,
    all: &[Migration],
) -> Result<(), StoreError> {
    let first = all.first().map_or(0, |(first, _)| *first);
    let known = all.last().map_or(0, |(last, _)| *last);
    // A table that is made again under its name would take the rows that refer to it along.
    connection.pragma_update(None, "foreign_keys", false).map_err(writing)?;
    // Immediate, so that of two processes one takes the steps and the other sees them taken.
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(writing)?;
    let found: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(writing)?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if found != 0 && found < first {
        return Err(StoreError::Older { path: path.to_owned(), found });
    }
    for (number, sql) in all.iter().filter(|(number, _)| *number > found) {
        transaction.execute_batch(sql).map_err(writing)?;
        transaction.pragma_update(None, "user_version", number).map_err(writing)?;
    }
    transaction.commit().map_err(writing)
}

#[cfg(test)]
mod tests;
