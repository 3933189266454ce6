//! Join tokens: their public halves, and how far each has come. issued → claimed → signed; a second
//! key burns a token, and a newer token for the same node voids it.

use std::time::{Duration, SystemTime};

use quorate_proto::NodeName;
use quorate_proto::trust::{KeyDigest, TokenId, VerifyKey};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, params};

use super::audit::forget_audit;
use super::nodes::{add_certificate, add_node, has_certificate};
use super::{Store, StoreError, StoredCertificate, reading, seconds, writing};

/// The tables of this module.
pub(super) const TABLES: &str = "
    CREATE TABLE tokens (
        id BLOB PRIMARY KEY CHECK (length(id) = 10),
        node TEXT NOT NULL REFERENCES nodes (name),
        verify_key BLOB NOT NULL CHECK (length(verify_key) = 32),
        issued_at INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('issued', 'claimed', 'signed', 'burned', 'void')),
        key BLOB CHECK (length(key) = 32 OR state NOT IN ('claimed', 'signed'))
    ) STRICT;
";

/// How long after its end a token still gives its own key the certificate again: the first answer
/// may have been lost.
const GRACE: Duration = Duration::from_mins(10);

/// A token, as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: TokenId,
    /// The one node that it is for.
    pub node: NodeName,
    pub verify_key: VerifyKey,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub not_after: i64,
    pub state: TokenState,
}

/// How far a token has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    Issued,
    /// Bound to this key, whose certificate is about to be made.
    Claimed(KeyDigest),
    /// The certificate was made, and perhaps received.
    Signed(KeyDigest),
    /// Two keys claimed it.
    Burned,
    /// A newer token replaced it before it was used.
    Void,
}

/// What came of a claim whose signature is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// This key may have a certificate. None was made yet.
    Granted,
    /// This key was given its certificate before.
    Again,
    /// Another key had the token before: it is burned from now on.
    Burned,
    /// The token is of no use any more.
    Spent,
    /// The token's time is over.
    Late,
    /// The key has a certificate by another token.
    KnownKey,
}

impl TokenRecord {
    /// What a claim by this key means and which state follows.
    fn claimed_by(&self, key: &KeyDigest, now: i64) -> (Claimed, TokenState) {
        let grace = self.not_after.saturating_add(seconds(SystemTime::UNIX_EPOCH + GRACE));
        match self.state {
            TokenState::Burned | TokenState::Void => (Claimed::Spent, self.state),
            TokenState::Issued if now > self.not_after => (Claimed::Late, self.state),
            TokenState::Issued => (Claimed::Granted, TokenState::Claimed(*key)),
            TokenState::Claimed(first) | TokenState::Signed(first) if first != *key => {
                (Claimed::Burned, TokenState::Burned)
            }
            _ if now > grace => (Claimed::Late, self.state),
            TokenState::Claimed(_) => (Claimed::Granted, self.state),
            TokenState::Signed(_) => (Claimed::Again, self.state),
        }
    }
}

impl Store {
    /// Records a new token. Unused ones of the same node are void from now on.
    pub fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(writing)?;
        let add = || {
            add_node(&transaction, &token.node)?;
            let sql = "UPDATE tokens SET state = 'void' WHERE node = ? AND state = 'issued'";
            transaction.execute(sql, [token.node.as_str()])?;
            let sql = "INSERT INTO tokens (id, node, verify_key, issued_at, not_after, state) \
                       VALUES (?, ?, ?, ?, ?, 'issued')";
            let TokenRecord { id, node, verify_key, issued_at, not_after, .. } = token;
            let values = params![id.0, node.as_str(), verify_key.0, issued_at, not_after];
            transaction.execute(sql, values)
        };
        add().map_err(writing)?;
        transaction.commit().map_err(writing)
    }

    /// A token by its name.
    pub fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        find(&self.connection, id).map_err(reading)
    }

    /// Takes a claim by this key, whose signature was found right. At once, so that of two keys
    /// one is too late however close they come.
    pub fn claim(
        &mut self,
        id: &TokenId,
        key: &KeyDigest,
        now: SystemTime,
    ) -> Result<Claimed, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(writing)?;
        let Some(token) = find(&transaction, id).map_err(reading)? else {
            return Ok(Claimed::Spent);
        };
        let (claimed, state) = token.claimed_by(key, seconds(now));
        if claimed == Claimed::Granted && has_certificate(&transaction, key).map_err(reading)? {
            return Ok(Claimed::KnownKey);
        }
        set_state(&transaction, id, &state).map_err(writing)?;
        transaction.commit().map_err(writing)?;
        Ok(claimed)
    }

    /// Records the certificate that a granted claim was given. False if the token was burned
    /// meanwhile; the certificate must not be given out then.
    pub fn sign(
        &mut self,
        token: &TokenRecord,
        key: &KeyDigest,
        certificate: &StoredCertificate,
        facts_json: &str,
    ) -> Result<bool, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(writing)?;
        let found = find(&transaction, &token.id).map_err(reading)?;
        if found.is_none_or(|found| found.state != TokenState::Claimed(*key)) {
            return Ok(false);
        }
        add_certificate(&transaction, &token.node, key, certificate, facts_json)
            .and_then(|()| forget_audit(&transaction, &token.node))
            .and_then(|()| set_state(&transaction, &token.id, &TokenState::Signed(*key)))
            .map_err(writing)?;
        transaction.commit().map_err(writing)?;
        Ok(true)
    }

    /// Whether the node used the newest token that was made for it.
    pub fn enrolled(&self, node: &NodeName) -> Result<bool, StoreError> {
        let sql = "SELECT state = 'signed' FROM tokens WHERE node = ? ORDER BY rowid DESC LIMIT 1";
        let enrolled = self.connection.query_row(sql, [node.as_str()], |row| row.get(0));
        Ok(enrolled.optional().map_err(reading)?.unwrap_or(false))
    }
}

fn find(connection: &Connection, id: &TokenId) -> rusqlite::Result<Option<TokenRecord>> {
    let sql = "SELECT id, node, verify_key, issued_at, not_after, state, key \
               FROM tokens WHERE id = ?";
    connection.query_row(sql, [id.0], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let node = NodeName::try_from(row.get::<_, String>(1)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, error.into()))?;
    let key = || row.get(6).map(KeyDigest);
    let state: String = row.get(5)?;
    let state = match state.as_str() {
        "issued" => TokenState::Issued,
        "claimed" => TokenState::Claimed(key()?),
        "signed" => TokenState::Signed(key()?),
        "burned" => TokenState::Burned,
        // The table allows no more.
        _ => TokenState::Void,
    };
    Ok(TokenRecord {
        id: TokenId(row.get(0)?),
        node,
        verify_key: VerifyKey(row.get(2)?),
        issued_at: row.get(3)?,
        not_after: row.get(4)?,
        state,
    })
}

fn set_state(connection: &Connection, id: &TokenId, state: &TokenState) -> rusqlite::Result<()> {
    let (state, key) = match state {
        TokenState::Issued => ("issued", None),
        TokenState::Claimed(key) => ("claimed", Some(key.0)),
        TokenState::Signed(key) => ("signed", Some(key.0)),
        TokenState::Burned => ("burned", None),
        TokenState::Void => ("void", None),
    };
    let sql = "UPDATE tokens SET state = ?, key = ? WHERE id = ?";
    connection.execute(sql, params![state, key, id.0]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: KeyDigest = KeyDigest([1; 32]);
    const TWO: KeyDigest = KeyDigest([2; 32]);

    fn record(state: TokenState) -> TokenRecord {
        TokenRecord {
            id: TokenId([7; 10]),
            node: NodeName::try_from("cp-1").unwrap(),
            verify_key: VerifyKey([9; 32]),
            issued_at: 1_000,
            not_after: 4_600,
            state,
        }
    }

    #[test]
    fn a_token_serves_one_key_within_its_time() {
        use TokenState::{Burned, Issued, Signed, Void};
        let claimed_one = TokenState::Claimed(ONE);
        let table = [
            (Issued, ONE, 4_600, Claimed::Granted, claimed_one),
            (Issued, ONE, 4_601, Claimed::Late, Issued),
            (claimed_one, ONE, 5_200, Claimed::Granted, claimed_one),
            (claimed_one, ONE, 5_201, Claimed::Late, claimed_one),
            (claimed_one, TWO, 2_000, Claimed::Burned, Burned),
            (Signed(ONE), ONE, 5_200, Claimed::Again, Signed(ONE)),
            (Signed(ONE), ONE, 5_201, Claimed::Late, Signed(ONE)),
            (Signed(ONE), TWO, 2_000, Claimed::Burned, Burned),
            (Signed(ONE), TWO, 9_000, Claimed::Burned, Burned),
            (Burned, ONE, 2_000, Claimed::Spent, Burned),
            (Void, ONE, 2_000, Claimed::Spent, Void),
        ];
        for (state, key, now, claimed, after) in table {
            let found = record(state).claimed_by(&key, now);
            assert_eq!(found, (claimed, after), "{state:?} by {key:?} at {now}");
        }
    }

    #[test]
    fn states_survive_the_store_and_a_new_token_voids_the_unused() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let token = record(TokenState::Issued);
        let (node, now) = (token.node.clone(), SystemTime::UNIX_EPOCH + GRACE);
        store.add_token(&token).unwrap();
        assert!(!store.enrolled(&node).unwrap());
        assert_eq!(store.claim(&token.id, &ONE, now).unwrap(), Claimed::Granted);
        drop(store);

        let mut store = Store::open(folder.path()).unwrap();
        let found = store.token(&token.id).unwrap().unwrap();
        assert_eq!(found.state, TokenState::Claimed(ONE));
        let certificate = StoredCertificate { der: vec![1], issued_at: 600, not_after: 9 };
        assert!(!store.sign(&token, &TWO, &certificate, "{}").unwrap(), "another key");
        assert!(store.sign(&token, &ONE, &certificate, "{}").unwrap());
        assert!(store.enrolled(&node).unwrap());
        assert_eq!(store.certificate(&ONE).unwrap(), Some(certificate));
        assert_eq!(store.enrolment_facts(&node).unwrap().as_deref(), Some("{}"));

        let again = |id| TokenRecord { id: TokenId([id; 10]), ..token.clone() };
        store.add_token(&again(8)).unwrap();
        store.add_token(&again(9)).unwrap();
        assert!(!store.enrolled(&node).unwrap(), "it has to use the new one");
        let state = |id| store.token(&TokenId([id; 10])).unwrap().unwrap().state;
        assert_eq!(state(7), TokenState::Signed(ONE));
        assert_eq!((state(8), state(9)), (TokenState::Void, TokenState::Issued));
        assert_eq!(store.claim(&TokenId([9; 10]), &ONE, now).unwrap(), Claimed::KnownKey);
    }
}
