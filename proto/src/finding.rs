//! What a check found.

use serde::{Deserialize, Serialize};

/// Whether a goal holds on a node. Only a check says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It holds.
    Satisfied,
    /// It does not; never empty.
    Drifted(Vec<Drift>),
    /// It could not be told: not the same as drift.
    Unknown { why: String },
    /// It must not be made to hold from here, such as on a node with another cluster's data. Says
    /// what a person has to do.
    Refused { why: String },
}

impl Finding {
    /// Satisfied where there is no drift.
    pub fn from_drifts(drifts: Vec<Drift>) -> Self {
        if drifts.is_empty() { Self::Satisfied } else { Self::Drifted(drifts) }
    }

    /// Whether something runs by what was found, so that to change it interrupts what runs.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Drifted(drifts) if drifts.iter().any(|drift| drift.in_use))
    }

    /// Whether the goal holds.
    pub fn is_satisfied(&self) -> bool {
        matches!(self, Self::Satisfied)
    }
}

/// One difference between a node and a goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What differs: a file, a parameter, a package.
    pub what: String,
    pub found: String,
    pub wanted: String,
    /// Something runs by what was found: to change it is no repair, and interrupts what runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_use: bool,
}

impl Drift {
    /// A difference between what was found and what is wanted.
    pub fn new(
        what: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), found: found.into(), wanted: wanted.into(), in_use: false }
    }

    /// The same, where something runs by what was found.
    pub fn in_use(self) -> Self {
        Self { in_use: true, ..self }
    }
}
