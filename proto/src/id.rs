//! Names of things: nodes, runs, operations, steps, and the term that orders carry.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::goal_id::GoalId;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name has 1 to 63 characters, {0:?} has {len}", len = .0.len())]
    Length(String),
    #[error(
        "{0:?} is not a name: use a-z, 0-9, '-' and '.', with a letter or digit at both ends \
         (RFC 1123, as the kubelet asks)"
    )]
    Characters(String),
}

/// A node's name: its host name, its Kubernetes node name and its etcd member name.
///
/// At most 63 characters, so that it fits a label and a host name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        if name.is_empty() || name.len() > 63 {
            return Err(NameError::Length(name));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let inner = name.chars().all(|c| plain(c) || c == '-' || c == '.');
        let ends = name.split('.').all(|label| label.starts_with(plain) && label.ends_with(plain));
        if inner && ends { Ok(Self(name)) } else { Err(NameError::Characters(name)) }
    }
}

impl TryFrom<&str> for NodeName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        name.to_owned().try_into()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One execution of `quorate apply`; a `UUIDv7`, so that runs sort by their beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One order to a node. Sending the same id again attaches to the same work.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OperationId(pub String);

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The right to give orders. Ordered by number, then by run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    pub number: u64,
    pub run: RunId,
}

impl Term {
    /// How far a term may be above the newest one known. Runs count by one: what is further ahead is a
    /// mistake or a lie, and taking it could leave no number for any later run.
    pub const REACH: u64 = 1_000_000;

    /// Whether the number is out of reach of runs that count on from `newest`.
    pub fn is_out_of_reach(&self, newest: u64) -> bool {
        self.number > newest.saturating_add(Self::REACH)
    }

    /// Whether an agent that last obeyed `newest` obeys this term. The order is total: of two runs
    /// that took one number at the same moment, every node obeys the same one.
    pub fn obeyed_after(&self, newest: &Self) -> bool {
        self >= newest
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (run {})", self.number, self.run)
    }
}

/// A step: a node and what must hold there. The same work has the same id in every plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StepId {
    pub node: NodeName,
    pub goal: GoalId,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.goal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rfc_1123() {
        for good in ["cp-1", "a", "node.example.org", "0"] {
            assert!(NodeName::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "CP-1", "-a", "a-", "a..b", "a b", "a/b", &"x".repeat(64)] {
            assert!(NodeName::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_two_terms_every_node_obeys_the_same_one() {
        let term = |number, run: &str| Term { number, run: RunId(run.to_owned()) };
        assert!(term(2, "b").obeyed_after(&term(1, "a")));
        assert!(term(1, "a").obeyed_after(&term(1, "a")));
        assert!(term(1, "b").obeyed_after(&term(1, "a")));
        assert!(!term(1, "a").obeyed_after(&term(1, "b")));
        assert!(!term(1, "a").obeyed_after(&term(2, "a")));
    }
}
