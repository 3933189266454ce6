//! What must outlive the agent: the newest term it obeyed and the operation under way.
//!
//! The worker keeps it true: it is on disk before an operation begins. Secrets are never in it.

use quorate_proto::{Goal, OperationId, Term, UnderWay};
use serde::{Deserialize, Serialize};

use crate::host::{Files, HostError};

/// The file's name in the state folder.
const FILE: &str = "ledger.json";

/// Why the ledger is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("reading the ledger {path}")]
    Read {
        path: String,
        #[source]
        source: HostError,
    },
    /// Not reset by itself: without the newest term, an older run would be obeyed again.
    #[error(
        "the ledger {path} is damaged, so it cannot be told which run this node obeys: make sure \
         that no `quorate apply` runs, move the file away and start quorate-agent again"
    )]
    Damaged {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("writing the ledger {path}; see that the disk has room and is writable")]
    Write {
        path: String,
        #[source]
        source: HostError,
    },
}

/// The ledger, as last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub path: String,
    pub content: Content,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Newest term that was obeyed.
    pub term: Term,
    pub under_way: Option<Begun>,
}

/// An operation that was begun. Its material stays in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    pub operation: OperationId,
    pub term: Term,
    pub goal: Goal,
    /// Milliseconds since 1970, by the node's clock.
    pub since_ms: u64,
}

impl Begun {
    /// As the node's facts have it.
    pub fn facts(&self) -> UnderWay {
        UnderWay {
            operation: self.operation.clone(),
            term: self.term.clone(),
            goal: self.goal.id(),
            since_ms: self.since_ms,
        }
    }
}

impl Ledger {
    /// The ledger of this state folder; an empty one where the agent starts for the first time.
    pub async fn load(host: &dyn Files, state_folder: &str) -> Result<Self, LedgerError> {
        let path = format!("{}/{FILE}", state_folder.trim_end_matches('/'));
        let read = host.read(&path).await;
        let content = match read {
            Err(source) => return Err(LedgerError::Read { path, source }),
            Ok(None) => Content::default(),
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(content) => content,
                Err(source) => return Err(LedgerError::Damaged { path, source }),
            },
        };
        Ok(Self { path, content })
    }

    /// Writes this content durably; on an error the ledger stays as it was, in memory too.
    pub async fn put(&mut self, host: &dyn Files, content: Content) -> Result<(), LedgerError> {
        if content == self.content {
            return Ok(());
        }
        // Plain data: it cannot fail to serialise.
        let bytes = serde_json::to_vec_pretty(&content).unwrap_or_default();
        match host.write(&self.path, &bytes, 0o600).await {
            Ok(()) => self.content = content,
            Err(source) => return Err(LedgerError::Write { path: self.path.clone(), source }),
        }
        Ok(())
    }
}
