//! Join tokens: their public halves, and how far each has come. issued → awaiting → claimed → signed;
//! a claim that nobody has to approve skips awaiting. A second key burns a token, five wrong codes
//! reject it, and a newer token for the same node voids it. Each arrow is one transaction.

use std::time::{Duration, SystemTime};

use quorate_proto::NodeName;
use quorate_proto::trust::{EnrolCode, KeyDigest, TokenId, VerifyKey};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::audit::forget_audit;
use super::nodes::{add_certificate, add_node, has_certificate};
use super::{Store, StoreError, StoredCertificate, reading, seconds, writing};
use crate::spec::Role;

/// How long after its end a token still gives its own key the certificate again: the first answer
/// may have been lost.
const GRACE: Duration = Duration::from_mins(10);
/// How long a claim waits for a person, counted from the claim: a working day and the night before.
const WAIT: Duration = Duration::from_hours(24);
/// Nobody mistypes six plain words so often.
const WRONG_CODES: u32 = 5;

/// A token, as the coordinator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub id: TokenId,
    /// The one node that it is for.
    pub node: NodeName,
    pub verify_key: VerifyKey,
    /// What the node is to be.
    pub role: Role,
    pub approval: Approval,
    /// Seconds since 1970.
    pub issued_at: i64,
    pub not_after: i64,
    pub state: TokenState,
    /// Who claimed it, once somebody has.
    pub claimant: Option<Claimant>,
}

/// What lets a claim through, beside the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// A person, with the code that the node shows.
    Code,
    /// Nothing: whoever made the token takes it to the node himself.
    Auto,
}

/// The machine that claimed a token, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Seconds since 1970.
    pub at: i64,
    /// The address that the claim came from.
    pub from: String,
    /// [`quorate_proto::Machine`] as JSON, as it came: not for a terminal.
    pub facts_json: String,
}

/// How far a token has come. That its time is over is seen by the time alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    Issued,
    /// Bound to this key, until a person approves of it.
    Awaiting(KeyDigest),
    /// Bound to this key, whose certificate is about to be made.
    Claimed(KeyDigest),
    /// The certificate was made, and perhaps received.
    Signed(KeyDigest),
    /// Two keys claimed it.
    Burned,
    /// Too many wrong codes were given for its claim.
    Rejected,
    /// A newer token replaced it before it was used.
    Void,
}

/// What came of a claim whose signature is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// This key may have a certificate. None was made yet.
    Granted,
    /// A person has to approve of this key first.
    Waits,
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

/// What came of a code that a person gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approved {
    /// The claim may have its certificate, and gets it when it asks next.
    Yes,
    /// The code is another key's. So many more may be tried.
    Wrong { left: u32 },
    /// That was one wrong code too many: the claim is rejected for good.
    Rejected,
    /// No claim for this node waits.
    NobodyWaits,
    /// The claim waited for too long.
    Late,
}

impl TokenRecord {
    /// What a claim by this key means and which state follows.
    fn claimed_by(&self, key: &KeyDigest, now: i64) -> (Claimed, TokenState) {
        let grace = after(self.not_after, GRACE);
        match self.state {
            TokenState::Burned | TokenState::Rejected | TokenState::Void => {
                (Claimed::Spent, self.state)
            }
            TokenState::Issued if now > self.not_after => (Claimed::Late, self.state),
            TokenState::Issued => match self.approval {
                Approval::Code => (Claimed::Waits, TokenState::Awaiting(*key)),
                Approval::Auto => (Claimed::Granted, TokenState::Claimed(*key)),
            },
            TokenState::Awaiting(first)
            | TokenState::Claimed(first)
            | TokenState::Signed(first)
                if first != *key =>
            {
                (Claimed::Burned, TokenState::Burned)
            }
            TokenState::Awaiting(_) if self.waited_out(now) => (Claimed::Late, self.state),
            TokenState::Awaiting(_) => (Claimed::Waits, self.state),
            _ if now > grace => (Claimed::Late, self.state),
            TokenState::Claimed(_) => (Claimed::Granted, self.state),
            TokenState::Signed(_) => (Claimed::Again, self.state),
        }
    }

    /// Whether its claim waited for as long as one may.
    pub fn waited_out(&self, now: i64) -> bool {
        self.claimant.as_ref().is_none_or(|claimant| now > after(claimant.at, WAIT))
    }
}

fn after(from: i64, time: Duration) -> i64 {
    from.saturating_add(seconds(SystemTime::UNIX_EPOCH + time))
}

impl Store {
    /// Records a new token. Those of the same node that were not used, or wait, are void from now on.
    pub fn add_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        let transaction = self.begin()?;
        let add = || {
            add_node(&transaction, &token.node)?;
            let sql = "UPDATE tokens SET state = 'void' \
                       WHERE node = ? AND state IN ('issued', 'awaiting')";
            transaction.execute(sql, [token.node.as_str()])?;
            let sql = "INSERT INTO tokens \
                       (id, node, verify_key, role, approval, issued_at, not_after, state) \
                       VALUES (?, ?, ?, ?, ?, ?, ?, 'issued')";
            let TokenRecord { id, node, verify_key, role, approval, issued_at, not_after, .. } =
                token;
            let (role, approval) = (role_text(*role), approval_text(*approval));
            let key = verify_key.0;
            let values = params![id.0, node.as_str(), key, role, approval, issued_at, not_after];
            transaction.execute(sql, values)
        };
        add().map_err(writing)?;
        transaction.commit().map_err(writing)
    }

    /// Makes every token void that nobody was granted anything for. Gives the nodes whose tokens would
    /// still have served.
    pub fn void_tokens(&mut self, now: SystemTime) -> Result<Vec<NodeName>, StoreError> {
        let sql = "UPDATE tokens SET state = 'void' WHERE state IN ('issued', 'awaiting') \
                   RETURNING node, not_after";
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        let mut statement = self.connection.prepare(sql).map_err(writing)?;
        let void = statement.query_map([], row).map_err(writing)?;
        let void: Vec<(String, i64)> = void.collect::<Result<_, _>>().map_err(writing)?;
        let served = void.into_iter().filter(|(_, not_after)| *not_after >= seconds(now));
        Ok(served.filter_map(|(node, _)| NodeName::try_from(node).ok()).collect())
    }

    /// A token by its name.
    pub fn token(&self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        find(&self.connection, id).map_err(reading)
    }

    /// The newest token of each node, by the nodes' names.
    pub fn newest_tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tokens \
             WHERE rowid IN (SELECT max(rowid) FROM tokens GROUP BY node) ORDER BY node"
        );
        let mut statement = self.connection.prepare(&sql).map_err(reading)?;
        let rows = statement.query_map([], read).map_err(reading)?;
        rows.collect::<Result<_, _>>().map_err(reading)
    }

    /// By which tokens each node may have come in: the newest that was used, and later ones that two keys
    /// claimed, as nobody knows which of the keys the node has.
    pub fn spent_tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM tokens AS spent WHERE state IN ('signed', 'burned') AND rowid >= \
             (SELECT coalesce(max(rowid), 0) FROM tokens WHERE node = spent.node AND state = 'signed') \
             ORDER BY node, rowid"
        );
        let mut statement = self.connection.prepare(&sql).map_err(reading)?;
        let rows = statement.query_map([], read).map_err(reading)?;
        rows.collect::<Result<_, _>>().map_err(reading)
    }

    /// Takes a claim by this key, whose signature was found right. At once, so that of two keys
    /// one is too late however close they come.
    pub fn claim(
        &mut self,
        id: &TokenId,
        key: &KeyDigest,
        claimant: &Claimant,
    ) -> Result<Claimed, StoreError> {
        let transaction = self.begin()?;
        let Some(token) = find(&transaction, id).map_err(reading)? else {
            return Ok(Claimed::Spent);
        };
        let (claimed, state) = token.claimed_by(key, claimant.at);
        let first = token.state == TokenState::Issued && state != token.state;
        if first && has_certificate(&transaction, key).map_err(reading)? {
            return Ok(Claimed::KnownKey);
        }
        if state == token.state {
            return Ok(claimed);
        }
        set_state(&transaction, id, &state).map_err(writing)?;
        if first {
            let sql = "UPDATE tokens SET claimed_at = ?, claimed_from = ?, facts_json = ? \
                       WHERE id = ?";
            let Claimant { at, from, facts_json } = claimant;
            transaction.execute(sql, params![at, from, facts_json, id.0]).map_err(writing)?;
        }
        transaction.commit().map_err(writing)?;
        Ok(claimed)
    }

    /// Lets the claim of a node through that waits, if `code` is that of its key. Counts the wrong ones.
    pub fn approve(
        &mut self,
        node: &NodeName,
        code: &str,
        now: SystemTime,
    ) -> Result<Approved, StoreError> {
        let now = seconds(now);
        let transaction = self.begin()?;
        let sql = format!("SELECT {COLUMNS} FROM tokens WHERE node = ? AND state = 'awaiting'");
        // Of those there is one at most: a newer token makes the older void.
        let token = transaction.query_row(&sql, [node.as_str()], read).optional();
        let Some(token) = token.map_err(reading)? else { return Ok(Approved::NobodyWaits) };
        let TokenState::Awaiting(key) = token.state else { return Ok(Approved::NobodyWaits) };
        if token.waited_out(now) {
            return Ok(Approved::Late);
        }
        let approved = if EnrolCode::of(&key).is(code) {
            // From now on the node has as long to fetch it as after any other claim.
            let sql = "UPDATE tokens SET not_after = max(not_after, ?) WHERE id = ?";
            transaction.execute(sql, params![now, token.id.0]).map_err(writing)?;
            set_state(&transaction, &token.id, &TokenState::Claimed(key)).map_err(writing)?;
            Approved::Yes
        } else {
            count_wrong_code(&transaction, &token.id).map_err(writing)?
        };
        transaction.commit().map_err(writing)?;
        Ok(approved)
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
        let transaction = self.begin()?;
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

    /// Of two that begin at once the second waits.
    pub(super) fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let behavior = TransactionBehavior::Immediate;
        self.connection.transaction_with_behavior(behavior).map_err(writing)
    }
}

fn count_wrong_code(connection: &Connection, id: &TokenId) -> rusqlite::Result<Approved> {
    let sql = "UPDATE tokens SET wrong_codes = wrong_codes + 1 WHERE id = ? RETURNING wrong_codes";
    let wrong: u32 = connection.query_row(sql, [id.0], |row| row.get(0))?;
    let left = WRONG_CODES.saturating_sub(wrong);
    if left > 0 {
        return Ok(Approved::Wrong { left });
    }
    set_state(connection, id, &TokenState::Rejected)?;
    Ok(Approved::Rejected)
}

/// As [`read`] wants them.
const COLUMNS: &str = "id, node, verify_key, role, approval, issued_at, not_after, state, key, \
                       claimed_at, claimed_from, facts_json";

fn find(connection: &Connection, id: &TokenId) -> rusqlite::Result<Option<TokenRecord>> {
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE id = ?");
    connection.query_row(&sql, [id.0], read).optional()
}

fn read(row: &Row<'_>) -> rusqlite::Result<TokenRecord> {
    let node = NodeName::try_from(row.get::<_, String>(1)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, error.into()))?;
    let role = match row.get::<_, String>(3)?.as_str() {
        "worker" => Role::Worker,
        "load-balancer" => Role::LoadBalancer,
        _ => Role::ControlPlane,
    };
    let approval = match row.get::<_, String>(4)?.as_str() {
        "auto" => Approval::Auto,
        _ => Approval::Code,
    };
    let key = || row.get(8).map(KeyDigest);
    let state = match row.get::<_, String>(7)?.as_str() {
        "issued" => TokenState::Issued,
        "awaiting" => TokenState::Awaiting(key()?),
        "claimed" => TokenState::Claimed(key()?),
        "signed" => TokenState::Signed(key()?),
        "burned" => TokenState::Burned,
        "rejected" => TokenState::Rejected,
        // The table allows no more.
        _ => TokenState::Void,
    };
    let claimant = match (row.get(9)?, row.get(10)?, row.get(11)?) {
        (Some(at), Some(from), Some(facts_json)) => Some(Claimant { at, from, facts_json }),
        _ => None,
    };
    Ok(TokenRecord {
        id: TokenId(row.get(0)?),
        node,
        verify_key: VerifyKey(row.get(2)?),
        role,
        approval,
        issued_at: row.get(5)?,
        not_after: row.get(6)?,
        state,
        claimant,
    })
}

fn set_state(connection: &Connection, id: &TokenId, state: &TokenState) -> rusqlite::Result<()> {
    let (state, key) = match state {
        TokenState::Issued => ("issued", None),
        TokenState::Awaiting(key) => ("awaiting", Some(key.0)),
        TokenState::Claimed(key) => ("claimed", Some(key.0)),
        TokenState::Signed(key) => ("signed", Some(key.0)),
        TokenState::Burned => ("burned", None),
        TokenState::Rejected => ("rejected", None),
        TokenState::Void => ("void", None),
    };
    let sql = "UPDATE tokens SET state = ?, key = ? WHERE id = ?";
    connection.execute(sql, params![state, key, id.0]).map(|_| ())
}

/// As specifications write it.
pub(crate) fn role_text(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control-plane",
        Role::Worker => "worker",
        Role::LoadBalancer => "load-balancer",
    }
}

fn approval_text(approval: Approval) -> &'static str {
    match approval {
        Approval::Code => "code",
        Approval::Auto => "auto",
    }
}

#[cfg(test)]
mod tests;
