//! The audit log of a node: a JSON line for each thing that was asked of its agent and done by it,
//! chained by digests, so that no line can be changed or left out unseen.
//!
//! The chain alone does not stop whoever is root on the node from writing the log anew. The heads that
//! coordinators keep do: what came before a head can no longer be changed. What comes after it can.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::goal_id::GoalId;
use crate::id::{OperationId, Term};

/// Where a log stands: the number and the digest of its newest line. A log without lines has zero and
/// the digest of nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    pub seq: u64,
    pub sha256: Sha256,
}

impl Default for AuditHead {
    fn default() -> Self {
        Self { seq: 0, sha256: Sha256::of(b"") }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without gaps.
    pub seq: u64,
    /// Milliseconds since 1970, by the node's clock.
    pub at_ms: u64,
    /// /etc/machine-id: a log that was copied here from another machine says so.
    pub machine: String,
    #[serde(flatten)]
    pub deed: Deed,
    /// Digest of the line before.
    pub prev: Sha256,
}

/// Who asked, as the agent knows it from the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    pub operator: String,
    pub address: String,
}

/// What was asked or done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Deed {
    /// The agent's executor begins its service.
    AgentStarted {
        version: String,
        /// /proc/sys/kernel/random/boot_id
        boot: String,
        /// The operation that an earlier agent had begun and not ended.
        operation: Option<OperationId>,
        /// Whether it still runs.
        goes_on: bool,
    },
    /// The last line was cut short, as a power cut does, and was removed.
    Mended { bytes: u64 },
    /// The oldest lines, up to this number, are about to be removed; the digest is that of their last.
    Shed { upto: u64, sha256: Sha256 },
    /// An order was taken and is about to begin: written before anything is changed.
    Attempt {
        by: By,
        operation: OperationId,
        term: Term,
        goal: GoalId,
        /// Digest of operation, term and goal as JSON: of the whole order but its secrets.
        order: Sha256,
    },
    /// The ledger holds the operation; it runs from here on.
    Begun { operation: OperationId },
    /// The operation is over.
    Ended { operation: OperationId, holds: bool, why: String },
    /// Something was asked for and not done.
    Refused { by: By, asked: String, why: String },
    /// Orders of older terms are no longer obeyed.
    Claimed { by: By, term: Term },
    /// An operation was asked to end.
    Cancelled { by: By, operation: OperationId, term: Term },
    /// The cluster's admin kubeconfig was handed out.
    Kubeconfig { by: By },
    /// The agent's front end is about to keep something of its own, in its own words.
    Keeps { by: By, own: Own },
}

/// What an agent's front end keeps by itself, where its executor has no part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Own {
    /// A newer trust bundle.
    Bundle { generation: u64 },
    /// A certificate of its own for another key, with the digest of that key.
    Certificate { key: Sha256 },
}

/// What is read of a line to check it, also where another version wrote it.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: Sha256,
}

/// A log is not what its agent wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("line {0} is not one of an audit log")]
    Line(u64),
    #[error("line {wanted} is missing: {found} is in its place")]
    Gap { wanted: u64, found: u64 },
    #[error("it begins at line {0}, and no line says that those before were removed by the agent")]
    Beheaded(u64),
    #[error("line {0} does not follow from the line before it: one of the two was changed")]
    Broken(u64),
}

/// Reads or writes a log, a line at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    head: AuditHead,
}

impl Chain {
    /// Where the log stands so far.
    pub fn head(&self) -> &AuditHead {
        &self.head
    }

    /// Takes the next line, without its line end, if it follows.
    pub fn read(&mut self, line: &str) -> Result<(), ChainError> {
        let wanted = self.head.seq + 1;
        let Link { seq, prev } =
            serde_json::from_str(line).map_err(|_why| ChainError::Line(wanted))?;
        if seq != wanted {
            return Err(ChainError::Gap { wanted, found: seq });
        }
        if prev != self.head.sha256 {
            return Err(ChainError::Broken(seq));
        }
        self.head = AuditHead { seq, sha256: Sha256::of(line.as_bytes()) };
        Ok(())
    }

    /// The next line, without its line end, and the chain after it.
    pub fn write(&self, at_ms: u64, machine: &str, deed: Deed) -> (String, Self) {
        let (seq, prev, machine) =
            (self.head.seq + 1, self.head.sha256.clone(), machine.to_owned());
        // Plain data: it cannot fail to serialise.
        let line =
            serde_json::to_string(&Entry { seq, at_ms, machine, deed, prev }).unwrap_or_default();
        let sha256 = Sha256::of(line.as_bytes());
        (line, Self { head: AuditHead { seq, sha256 } })
    }
}

/// Reads a whole log. One from which the agent removed the oldest lines begins later than at line 1, and
/// says so in a later line.
#[derive(Debug, Clone, Default)]
pub struct Whole {
    chain: Chain,
    /// The last of the lines that are gone.
    gone: Option<AuditHead>,
    /// A line says that they were removed.
    said: bool,
}

impl Whole {
    /// Takes the next line, without its line end, if it follows.
    pub fn read(&mut self, line: &str) -> Result<(), ChainError> {
        if self.chain.head.seq == 0 {
            self.gone = before(line).filter(|head| head.seq > 0);
            self.chain.head = self.gone.clone().unwrap_or_default();
        }
        self.chain.read(line)?;
        if let Some(AuditHead { seq, sha256 }) = &self.gone {
            let shed = Deed::Shed { upto: *seq, sha256: sha256.clone() };
            let entry = || serde_json::from_str::<Entry>(line).ok();
            self.said = self.said || entry().is_some_and(|entry| entry.deed == shed);
        }
        Ok(())
    }

    /// The last line that is gone, where the oldest are.
    pub fn gone(&self) -> Option<&AuditHead> {
        self.gone.as_ref()
    }

    /// The chain so far.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// After the last line.
    pub fn end(self) -> Result<Chain, ChainError> {
        match self.gone {
            Some(gone) if !self.said => Err(ChainError::Beheaded(gone.seq + 1)),
            Some(_) | None => Ok(self.chain),
        }
    }
}

/// Where the log stood before this line; `None` where it is no line of one.
pub fn before(line: &str) -> Option<AuditHead> {
    let Link { seq, prev } = serde_json::from_str(line).ok()?;
    Some(AuditHead { seq: seq.checked_sub(1)?, sha256: prev })
}

/// The number of a line; `None` where it has none.
pub fn number(line: &str) -> Option<u64> {
    serde_json::from_str::<Link>(line).ok().map(|link| link.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: u64) -> Vec<String> {
        let mut chain = Chain::default();
        let mut log = Vec::new();
        for at in 0..lines {
            let operation = OperationId(at.to_string());
            let (line, next) = chain.write(at, "one", Deed::Begun { operation });
            log.push(line);
            chain = next;
        }
        log
    }

    fn read(log: &[String]) -> Result<AuditHead, ChainError> {
        let mut chain = Chain::default();
        log.iter().try_for_each(|line| chain.read(line)).map(|()| chain.head().clone())
    }

    #[test]
    fn a_log_is_read_as_it_was_written_and_every_change_is_seen() {
        let log = log(5);
        let head = read(&log).unwrap();
        assert_eq!((head.seq, &head.sha256), (5, &Sha256::of(log[4].as_bytes())));
        let entry: Entry = serde_json::from_str(&log[2]).unwrap();
        assert_eq!(entry.deed, Deed::Begun { operation: OperationId("2".to_owned()) });

        let without = |at: usize| [&log[..at], &log[at + 1..]].concat();
        assert_eq!(read(&without(1)), Err(ChainError::Gap { wanted: 2, found: 3 }));
        assert_eq!(read(&without(0)), Err(ChainError::Gap { wanted: 1, found: 2 }));
        for at in 0..log.len() {
            let mut changed = log.clone();
            changed[at] = changed[at].replace("\"one\"", "\"two\"");
            let seen = read(&changed);
            // The newest line has none after it: only a head that was kept tells.
            assert_ne!(seen, Ok(head.clone()), "{at}");
            assert_eq!(seen.is_err(), at + 1 < log.len(), "{at}");
        }
        let mut swapped = log.clone();
        swapped.swap(1, 2);
        assert!(read(&swapped).is_err());
        assert_eq!(read(&["{}".to_owned()]), Err(ChainError::Line(1)));
    }

    #[test]
    fn a_log_that_begins_later_says_itself_that_older_lines_were_removed() {
        let read = |log: &[String]| {
            let mut whole = Whole::default();
            log.iter().try_for_each(|line| whole.read(line))?;
            let gone = whole.gone().map(|gone| gone.seq);
            whole.end().map(|chain| (chain.head().seq, gone))
        };
        let mut log = log(5);
        assert_eq!(read(&log), Ok((5, None)));
        assert_eq!(read(&log[3..]), Err(ChainError::Beheaded(4)));
        let mut chain = Chain::default();
        log.iter().try_for_each(|line| chain.read(line)).unwrap();
        let (line, next) = chain.write(9, "one", Deed::Shed { upto: 3, sha256: Sha256::of(b"x") });
        log.push(line);
        assert_eq!(read(&log[3..]), Err(ChainError::Beheaded(4)), "of other lines");
        let sha256 = Sha256::of(log[2].as_bytes());
        log.push(next.write(9, "one", Deed::Shed { upto: 3, sha256 }).0);
        assert_eq!(read(&log[3..]), Ok((7, Some(3))));
        assert_eq!(read(&log), Ok((7, None)), "the line came, and the removal did not");
        assert_eq!(read(&log[2..]), Err(ChainError::Beheaded(3)));
        assert_eq!(read(&log[4..]), Err(ChainError::Beheaded(5)));
    }

    #[test]
    fn a_line_of_another_version_keeps_its_place() {
        let mut chain = Chain::default();
        let prev = chain.head().sha256.clone();
        let line = format!(r#"{{"seq":1,"what":"drained","pods":3,"prev":"{prev}"}}"#);
        assert_eq!(chain.read(&line), Ok(()));
        assert_eq!(number(&line), Some(1));
        assert!(serde_json::from_str::<Entry>(&line).is_err());
    }
}
