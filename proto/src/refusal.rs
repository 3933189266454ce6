//! Why an agent does not take an order, typed on both sides of a gRPC status.

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::goal_id::GoalId;
use crate::id::{OperationId, Term};

/// An order that was not taken; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// A newer run gives the orders now; older ones are never obeyed again.
    #[error("the node obeys term {term}: another run has taken over, so let that one finish")]
    Superseded { term: Term },
    /// Another operation is under way.
    #[error("the node is busy with {goal} (operation {operation}): wait for it or attach to it")]
    Busy { operation: OperationId, goal: GoalId },
    /// The request makes no sense here; says what to do.
    #[error("{0}")]
    Invalid(String),
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        let code = match refusal {
            Refusal::Superseded { .. } => Code::FailedPrecondition,
            Refusal::Busy { .. } => Code::Aborted,
            Refusal::Invalid(_) => Code::InvalidArgument,
        };
        // Plain data: it cannot fail to serialise. Without details the code and the text remain.
        let details = serde_json::to_vec(refusal).unwrap_or_default();
        Self::with_details(code, refusal.to_string(), details.into())
    }
}

impl Refusal {
    /// The refusal in a status; `None` for a status of another origin.
    pub fn from_status(status: &Status) -> Option<Self> {
        serde_json::from_slice(status.details()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RunId;

    #[test]
    fn a_refusal_survives_the_wire() {
        let refusals = [
            Refusal::Superseded { term: Term { number: 7, run: RunId("r".to_owned()) } },
            Refusal::Busy { operation: OperationId("1".to_owned()), goal: "hosts".into() },
            Refusal::Invalid("the message lacks a term".to_owned()),
        ];
        for refusal in refusals {
            let status = Status::from(&refusal);
            assert_eq!(Refusal::from_status(&status), Some(refusal));
        }
        assert_eq!(Refusal::from_status(&Status::unavailable("no route")), None);
    }
}
