//! What a front end may ask of an executor, and what it is told: plain data, and nothing else is read.

use quorate_proto::audit::Own;
use quorate_proto::goal::Invalid;
use quorate_proto::wire::{Cancellation, Order};
use quorate_proto::{Event, Facts, Finding, Goal, NodeName, Refusal, Secret, Term};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub caller: Caller,
    pub call: Call,
}

/// Everything that an executor does for a front end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    Describe {
        /// The name in the front end's certificate: the executor has none of its own.
        node: NodeName,
        claim: Option<Term>,
    },
    Check {
        goals: Vec<Goal>,
    },
    Ensure(Box<Order>),
    Cancel(Cancellation),
    Kubeconfig,
    Audit {
        /// Lines up to this number are left out.
        after: u64,
    },
    /// Only writes down what the front end is about to keep.
    Keeps(Own),
}

impl Call {
    /// Whether it may be carried out at all.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Describe { node: _, claim } => claim.as_ref().map_or(Ok(()), Term::validate),
            Self::Check { goals } => {
                Goal::validate_count(goals.len())?;
                goals.iter().try_for_each(Goal::validate)
            }
            Self::Ensure(order) => order.validate(),
            Self::Cancel(cancellation) => cancellation.validate(),
            Self::Keeps(Own::Bundle { generation: 0 }) => Err(Invalid::Generation),
            Self::Keeps(Own::Bundle { generation: _ } | Own::Certificate { key: _ })
            | Self::Kubeconfig
            | Self::Audit { after: _ } => Ok(()),
        }
    }
}

/// An executor's answer. All but audit lines and an event that is not the end is the last of its call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Facts(Box<Facts>),
    Findings(Vec<Finding>),
    Event(Event),
    Cancelled,
    /// `None` where the node has none.
    Kubeconfig(Option<Secret>),
    AuditLines(Vec<String>),
    AuditEnd,
    /// It is on the disk.
    WrittenDown,
    Refused(Refusal),
    /// The machine did not do or tell something.
    Failed {
        why: String,
    },
}

impl Reply {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        match self {
            Self::Event(event) => matches!(event, Event::Ended { .. }),
            Self::AuditLines(_) => false,
            Self::Facts(_)
            | Self::Findings(_)
            | Self::Cancelled
            | Self::Kubeconfig(_)
            | Self::AuditEnd
            | Self::WrittenDown
            | Self::Refused(_)
            | Self::Failed { .. } => true,
        }
    }
}

/// The first word on a connection: the executor has the request and is at it. A restarted one takes
/// its time to come to it; the answer itself may take longer than a caller would wait for a dead one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Receipt {
    Taken,
}
