//! Nodes, and the certificates that they were given.

use std::time::SystemTime;

use quorate_proto::NodeName;
use quorate_proto::trust::{IssuedCertificate, KeyDigest};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::Serialize;

use super::{Store, StoreError, reading, seconds, writing};

/// Whether a certificate of a node is to be seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateState {
    /// The node shows it, or the one before it, until the newest has been seen there.
    Current,
    /// A newer one was seen in its place, or the node was denied: whoever shows it is not that node.
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

impl StoredCertificate {
    /// One that was just made.
    pub fn of(issued: &IssuedCertificate, now: SystemTime) -> Self {
        Self {
            der: issued.chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default(),
            issued_at: seconds(now),
            not_after: seconds(issued.not_after),
        }
    }
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

    /// The keys that a node may show, the newest first; `None` where nothing is known of the node. There
    /// is more than one while a renewal is under way.
    pub fn keys_of(&self, node: &NodeName) -> Result<Option<Vec<KeyDigest>>, StoreError> {
        let sql = "SELECT key, state = 'current' FROM certificates WHERE node = ? \
                   ORDER BY issued_at DESC";
        let mut statement = self.connection.prepare(sql).map_err(reading)?;
        let row = |row: &Row<'_>| Ok((KeyDigest(row.get(0)?), row.get::<_, bool>(1)?));
        let rows = statement.query_map([node.as_str()], row).map_err(reading)?;
        let rows: Vec<(KeyDigest, bool)> = rows.collect::<Result<_, _>>().map_err(reading)?;
        let current = rows.iter().filter(|(_, current)| *current).map(|(key, _)| *key);
        Ok((!rows.is_empty()).then(|| current.collect()))
    }

    /// Records the certificate of a node's next key, before it is sent. The one before stays as good
    /// until [`Self::settle_renewal`]; where the store has none, as after its loss, it is `shown`.
    /// False if the key is another node's, or was retired: it must not be given out then.
    pub fn renew(
        &mut self,
        node: &NodeName,
        shown: (&KeyDigest, &StoredCertificate),
        next: (&KeyDigest, &StoredCertificate),
    ) -> Result<bool, StoreError> {
        let transaction = self.begin()?;
        let known = "SELECT EXISTS (SELECT 1 FROM certificates WHERE node = ?)";
        let record = || {
            add_node(&transaction, node)?;
            if !transaction.query_row(known, [node.as_str()], |row| row.get::<_, bool>(0))? {
                insert_next(&transaction, node, shown)?;
            }
            insert_next(&transaction, node, next)
        };
        let recorded = record().map_err(writing)?;
        transaction.commit().map_err(writing)?;
        Ok(recorded)
    }

    /// The node was seen with this key: those that it was given before are its own no more.
    pub fn settle_renewal(&mut self, node: &NodeName, key: &KeyDigest) -> Result<(), StoreError> {
        let sql = "UPDATE certificates SET state = 'past' WHERE node = ?1 AND state = 'current' \
                   AND issued_at < (SELECT issued_at FROM certificates WHERE key = ?2)";
        let settled = self.connection.execute(sql, params![node.as_str(), key.0]);
        settled.map(|_| ()).map_err(writing)
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

/// The order of a node's certificates is that of their times, so that none has the time of another,
/// whatever the clock did. A key that waits for its certificate may be given another one.
fn insert_next(
    connection: &Connection,
    node: &NodeName,
    (key, certificate): (&KeyDigest, &StoredCertificate),
) -> rusqlite::Result<bool> {
    let StoredCertificate { der, issued_at, not_after } = certificate;
    let sql = "INSERT INTO certificates (key, node, der, issued_at, not_after, state) \
               VALUES (?1, ?2, ?3, \
                       max(?4, (SELECT coalesce(max(issued_at), 0) + 1 FROM certificates \
                                WHERE node = ?2 AND key != ?1)), \
                       ?5, 'current') \
               ON CONFLICT (key) DO UPDATE SET der = excluded.der, \
                   issued_at = excluded.issued_at, not_after = excluded.not_after \
               WHERE node = excluded.node AND state = 'current'";
    let changed = params![key.0, node.as_str(), der, issued_at, not_after];
    connection.execute(sql, changed).map(|rows| rows == 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(issued_at: i64) -> StoredCertificate {
        StoredCertificate { der: vec![1], issued_at, not_after: issued_at + 90 }
    }

    #[test]
    fn until_the_newest_key_was_seen_the_one_before_is_as_good_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let node = NodeName::try_from("cp-1").unwrap();
        assert_eq!(store.keys_of(&node).unwrap(), None);
        let key = |n| KeyDigest([n; 32]);
        // The clock went back between the first and the second, and stands still after it.
        let (first, later) = (certificate(100), certificate(50));
        assert!(store.renew(&node, (&key(1), &first), (&key(2), &later)).unwrap());
        assert_eq!(store.keys_of(&node).unwrap(), Some(vec![key(2), key(1)]));
        // Nobody received the second, and it is made again.
        assert!(store.renew(&node, (&key(1), &first), (&key(2), &later)).unwrap());
        store.settle_renewal(&node, &key(1)).unwrap();
        assert_eq!(store.keys_of(&node).unwrap(), Some(vec![key(2), key(1)]));
        store.settle_renewal(&node, &key(2)).unwrap();
        assert_eq!(store.keys_of(&node).unwrap(), Some(vec![key(2)]));

        let other = NodeName::try_from("cp-2").unwrap();
        let known = (&key(3), &first);
        assert!(!store.renew(&other, known, (&key(2), &later)).unwrap(), "another node's key");
        assert!(!store.renew(&node, known, (&key(1), &later)).unwrap(), "a key of the past");
        store.retire_node(&node).unwrap();
        assert_eq!(store.keys_of(&node).unwrap(), Some(Vec::new()));
        assert!(!store.renew(&node, known, (&key(2), &later)).unwrap(), "a denied key");
    }
}
