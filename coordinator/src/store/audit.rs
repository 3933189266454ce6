//! Where the nodes' audit logs stood, each time that one was seen further on. A node cannot change what
//! stands here: that is what makes its log evidence.

use quorate_proto::{AuditHead, NodeName, Sha256};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{Store, StoreError, reading, writing};

/// Of each node, the newest. The digest of one line vouches for all before it.
const KEPT: i64 = 1000;

impl Store {
    /// The newest head that was seen of a node's log.
    pub fn audit_head(&self, node: &NodeName) -> Result<Option<AuditHead>, StoreError> {
        let sql = "SELECT seq, sha256 FROM audit_heads WHERE node = ? ORDER BY seq DESC LIMIT 1";
        self.connection.query_row(sql, [node.as_str()], head).optional().map_err(reading)
    }

    /// All that are kept, oldest first.
    pub fn audit_heads(&self, node: &NodeName) -> Result<Vec<AuditHead>, StoreError> {
        let sql = "SELECT seq, sha256 FROM audit_heads WHERE node = ? ORDER BY seq";
        let mut select = self.connection.prepare(sql).map_err(reading)?;
        let heads = select.query_map([node.as_str()], head).map_err(reading)?;
        heads.collect::<Result<_, _>>().map_err(reading)
    }

    /// Keeps a head, and gives the one that is kept with its number: another, if the log was rewritten.
    pub fn keep_audit_head(
        &self,
        node: &NodeName,
        head: &AuditHead,
    ) -> Result<AuditHead, StoreError> {
        keep(&self.connection, node, head).map_err(writing)?;
        let sql = "SELECT seq, sha256 FROM audit_heads WHERE node = ? AND seq = ?";
        let at = params![node.as_str(), int(head.seq)];
        let kept = self.connection.query_row(sql, at, self::head).optional().map_err(reading)?;
        // Too old to be kept beside the newest ones.
        Ok(kept.unwrap_or_else(|| head.clone()))
    }

    /// Forgets what was seen of a node's log and begins with this head.
    pub fn accept_audit_head(
        &mut self,
        node: &NodeName,
        head: &AuditHead,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(writing)?;
        forget_audit(&transaction, node).map_err(writing)?;
        keep(&transaction, node, head).map_err(writing)?;
        transaction.commit().map_err(writing)
    }
}

/// A machine that enrols by a token of ours begins a log of its own: an old one was another's, or is gone.
pub(super) fn forget_audit(connection: &Connection, node: &NodeName) -> rusqlite::Result<()> {
    let sql = "DELETE FROM audit_heads WHERE node = ?";
    connection.execute(sql, [node.as_str()]).map(drop)
}

fn keep(connection: &Connection, node: &NodeName, head: &AuditHead) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_heads VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    let AuditHead { seq, sha256 } = head;
    if connection.execute(sql, params![node.as_str(), int(*seq), sha256.as_str()])? > 0 {
        let sql = "DELETE FROM audit_heads WHERE node = ?1 AND seq <= \
                   (SELECT seq FROM audit_heads WHERE node = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)";
        connection.execute(sql, params![node.as_str(), KEPT])?;
    }
    Ok(())
}

fn head(row: &Row<'_>) -> rusqlite::Result<AuditHead> {
    let sha256: String = row.get(1)?;
    let wrong = |error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
    };
    let sha256 = Sha256::try_from(sha256).map_err(wrong)?;
    Ok(AuditHead { seq: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(), sha256 })
}

/// SQLite's integers have a sign. None of ours comes near their end.
fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_kept_and_a_second_one_of_a_number_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let node = NodeName::try_from("cp-1").unwrap();
        let head = |seq: u64, of: &str| AuditHead { seq, sha256: Sha256::of(of.as_bytes()) };
        assert_eq!(store.audit_head(&node).unwrap(), None);
        for seq in 1..=1_005 {
            let kept = store.keep_audit_head(&node, &head(seq, "one")).unwrap();
            assert_eq!(kept, head(seq, "one"));
        }
        assert_eq!(store.keep_audit_head(&node, &head(1_005, "two")).unwrap(), head(1_005, "one"));
        let kept = store.audit_heads(&node).unwrap();
        assert_eq!((kept.len(), kept[0].seq), (1_000, 6));
        store.accept_audit_head(&node, &head(2, "two")).unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.audit_heads(&node).unwrap(), [head(2, "two")]);
    }
}
