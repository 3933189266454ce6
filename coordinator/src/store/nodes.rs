//! Nodes, and the certificates that they were given.

use quorate_proto::NodeName;
use quorate_proto::trust::KeyDigest;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Store, StoreError, reading};

/// The tables of this module. A key is certified once: a second node with it is a mistake or worse.
pub(super) const TABLES: &str = "
    CREATE TABLE nodes (
        name TEXT PRIMARY KEY,
        facts_json TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE certificates (
        key BLOB PRIMARY KEY CHECK (length(key) = 32),
        node TEXT NOT NULL REFERENCES nodes (name),
        der BLOB NOT NULL,
        issued_at INTEGER NOT NULL,
        not_after INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// A certificate as it was given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    pub der: Vec<u8>,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub not_after: i64,
}

impl Store {
    /// The certificate of a key, if it was given one.
    pub fn certificate(&self, key: &KeyDigest) -> Result<Option<StoredCertificate>, StoreError> {
        let sql = "SELECT der, issued_at, not_after FROM certificates WHERE key = ?";
        let certificate = self.connection.query_row(sql, [key.0], |row| {
            Ok(StoredCertificate {
                der: row.get(0)?,
                issued_at: row.get(1)?,
                not_after: row.get(2)?,
            })
        });
        certificate.optional().map_err(reading)
    }

    /// What a node said of its machine when it enrolled, as JSON.
    pub fn enrolment_facts(&self, node: &NodeName) -> Result<Option<String>, StoreError> {
        let sql = "SELECT facts_json FROM nodes WHERE name = ?";
        let facts = self.connection.query_row(sql, [node.as_str()], |row| row.get(0));
        Ok(facts.optional().map_err(reading)?.flatten())
    }
}

pub(super) fn add_node(connection: &Connection, node: &NodeName) -> rusqlite::Result<()> {
    let sql = "INSERT INTO nodes (name) VALUES (?) ON CONFLICT DO NOTHING";
    connection.execute(sql, [node.as_str()]).map(|_| ())
}

pub(super) fn has_certificate(connection: &Connection, key: &KeyDigest) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM certificates WHERE key = ?)";
    connection.query_row(sql, [key.0], |row| row.get(0))
}

pub(super) fn add_certificate(
    connection: &Connection,
    node: &NodeName,
    key: &KeyDigest,
    certificate: &StoredCertificate,
    facts_json: &str,
) -> rusqlite::Result<()> {
    let StoredCertificate { der, issued_at, not_after } = certificate;
    let sql = "INSERT INTO certificates (key, node, der, issued_at, not_after) \
               VALUES (?, ?, ?, ?, ?)";
    connection.execute(sql, params![key.0, node.as_str(), der, issued_at, not_after])?;
    let sql = "UPDATE nodes SET facts_json = ? WHERE name = ?";
    connection.execute(sql, [facts_json, node.as_str()]).map(|_| ())
}
