//! The certificates that operators were given, for those who ask who holds what. No key is here.

use quorate_proto::trust::{IdentityError, KeyDigest, NoSuchRole, OperatorName, Role};
use rusqlite::types::Type;
use rusqlite::{Row, params};

use super::{Store, StoreError, reading, writing};

/// A certificate that an operator was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOperator {
    pub key: KeyDigest,
    pub name: OperatorName,
    pub role: Role,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub not_after: i64,
}

impl Store {
    /// Records a certificate before it is given out.
    pub fn add_operator(&self, operator: &StoredOperator) -> Result<(), StoreError> {
        let StoredOperator { key, name, role, issued_at, not_after } = operator;
        let sql = "INSERT INTO operators (key, name, role, issued_at, not_after) \
                   VALUES (?, ?, ?, ?, ?)";
        let values = params![key.0, name.as_str(), role.as_str(), issued_at, not_after];
        self.connection.execute(sql, values).map(|_| ()).map_err(writing)
    }

    /// Every certificate that an operator was given, the last to end first.
    pub fn operators(&self) -> Result<Vec<StoredOperator>, StoreError> {
        let sql = "SELECT key, name, role, issued_at, not_after FROM operators \
                   ORDER BY not_after DESC, name";
        let mut statement = self.connection.prepare(sql).map_err(reading)?;
        let rows = statement.query_map([], read).map_err(reading)?;
        rows.collect::<Result<_, _>>().map_err(reading)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<StoredOperator> {
    let strange = |column, error: IdentityError| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    };
    let name = row.get::<_, String>(1)?;
    let role = row.get::<_, String>(2)?;
    Ok(StoredOperator {
        key: KeyDigest(row.get(0)?),
        name: OperatorName::try_from(name.as_str()).map_err(|error| strange(1, error))?,
        role: role.parse().map_err(|error: NoSuchRole| strange(2, error.into()))?,
        issued_at: row.get(3)?,
        not_after: row.get(4)?,
    })
}
