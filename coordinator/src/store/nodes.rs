//! Nodes, and the certificates that they were given.

use quorate_proto::NodeName;
use quorate_proto::trust::KeyDigest;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{Store, StoreError, reading, writing};

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
        not_after INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('current', 'past'))
    ) STRICT, WITHOUT ROWID;
";

/// Whether a certificate of a node is to be seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// The node shows it.
    Current,
    /// A newer one took its place, or the node was denied: whoever shows it is not that node.
    Past,
}

impl CertificateState {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Past => "past",
        }
    }

    /// Whether anybody may show it.
    pub fn is_of_use(self) -> bool {
        self != Self::Past
    }
}

/// A certificate of a node, and what has become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCertificate {
    pub node: NodeName,
    pub key: KeyDigest,
    pub state: CertificateState,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub not_after: i64,
}

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

    /// Every certificate that a node was given, by node, the newest first.
    pub fn node_certificates(&self) -> Result<Vec<NodeCertificate>, StoreError> {
        let sql = "SELECT node, key, state, issued_at, not_after FROM certificates \
                   ORDER BY node, issued_at DESC, state";
        let mut statement = self.connection.prepare(sql).map_err(reading)?;
        let rows = statement.query_map([], read).map_err(reading)?;
        rows.collect::<Result<_, _>>().map_err(reading)
    }

    /// No certificate that the node was given is its own any more.
    pub fn retire_node(&mut self, node: &NodeName) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET state = 'past' WHERE node = ?";
        self.connection.execute(sql, [node.as_str()]).map(|_| ()).map_err(writing)
    }

    /// What a node said of its machine when it enrolled, as JSON.
    pub fn enrolment_facts(&self, node: &NodeName) -> Result<Option<String>, StoreError> {
        let sql = "SELECT facts_json FROM nodes WHERE name = ?";
        let facts = self.connection.query_row(sql, [node.as_str()], |row| row.get(0));
        Ok(facts.optional().map_err(reading)?.flatten())
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<NodeCertificate> {
    let node = NodeName::try_from(row.get::<_, String>(0)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))?;
    let state = if row.get::<_, String>(2)? == "current" {
        CertificateState::Current
    } else {
        CertificateState::Past
    };
    Ok(NodeCertificate {
        node,
        key: KeyDigest(row.get(1)?),
        state,
        issued_at: row.get(3)?,
        not_after: row.get(4)?,
    })
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
    // Who enrols anew leaves all that was before behind.
    let sql = "UPDATE certificates SET state = 'past' WHERE node = ?";
    connection.execute(sql, [node.as_str()])?;
    let sql = "INSERT INTO certificates (key, node, der, issued_at, not_after, state) \
               VALUES (?, ?, ?, ?, ?, 'current')";
    connection.execute(sql, params![key.0, node.as_str(), der, issued_at, not_after])?;
    let sql = "UPDATE nodes SET facts_json = ? WHERE name = ?";
    connection.execute(sql, [facts_json, node.as_str()]).map(|_| ())
}
