//! What happens in a run, as a stream of events, and what they add up to.
//!
//! [`RunState`] is folded from events alone: the same events give the same state, so a stored run can
//! be shown again as it was. Who shows it is `ui`'s concern, who stores it `store`'s.

mod account;
mod began;
mod history;
pub mod machine;
mod pending_steps;
mod state;

pub use account::Account;
pub use began::Began;
pub use history::{Fate, NoSuchRun, PastRun, find, short, width};
pub use pending_steps::PendingSteps;
use quorate_proto::{Event, NodeName, OperationId, StepId, Term};
use serde::{Deserialize, Serialize};
pub use state::{Doing, Ended, Failed, NodeState, RunState};

use crate::plan::Lane;

/// An event of a run with its place and time. Sequence numbers have no gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    pub seq: u64,
    /// Milliseconds since the run began.
    pub at_ms: u64,
    pub event: RunEvent,
}

/// Shows a run while it happens, or a stored one again.
pub trait View: Send {
    /// An event was folded into the state.
    fn show(&mut self, state: &RunState, stamped: &Stamped);
    /// Time went by without an event: `at_ms` since the run began.
    fn tick(&mut self, state: &RunState, at_ms: u64);
    /// Nothing further comes; whatever was drawn stays as it is.
    fn close(&mut self);
}

/// Something that the driver did or was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RunEvent {
    /// The first event of a run.
    Began(Began),
    /// All nodes were looked at: this is left to do.
    Planned { left: Vec<PlannedStep>, silent: Vec<Silent> },
    /// Nodes that answered before are silent in a look, and get so many seconds to come back.
    Missed { silent: Vec<Silent>, seconds: u64 },
    /// An order is about to be sent. Stored before it goes out.
    Dispatched { step: StepId, operation: OperationId, doing: String, done: String },
    /// A node works on an order of another run, and this run follows it.
    Followed { step: StepId, operation: OperationId, by: Option<Term>, doing: String },
    /// The node is at something else: the order was not taken and will be sent again.
    NotTaken { step: StepId, why: String },
    /// What another run had ordered is over.
    Freed { step: StepId },
    /// A node told something of the operation that it works on.
    Told { step: StepId, event: Event },
    /// The stream of an operation broke; the node is asked again.
    Broken { step: StepId, why: String },
    /// The node of a step can no longer be reached, or does not know the operation any more.
    Lost { step: StepId, why: String },
    /// A step has been running for longer than it should.
    Overdue { step: StepId, seconds: u64 },
    /// An attempt failed in a way that another may mend.
    Retrying { step: StepId, attempt: u32, why: String },
    /// Something was done without an order: to the site or, where one is named, at a node.
    Noted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        text: String,
    },
    /// Someone pressed Ctrl-C: no further order is sent.
    Interrupted,
    /// The last event of a run.
    Finished { outcome: Outcome, account: Account },
}

/// A step that is left to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub step: StepId,
    pub doing: String,
    /// Steps that are left to do as well and come first.
    pub after: Vec<StepId>,
    pub lane: Lane,
}

/// A node that did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    pub node: NodeName,
    pub why: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Outcome {
    /// All that its procedure asks for holds.
    Holds,
    /// Steps failed, or nothing more can be done while some are left.
    Failed { left: Vec<StepId> },
    /// What is left must not be begun. Each reason says what to do.
    Blocked { reasons: Vec<String> },
    /// A node obeys a newer run.
    Superseded { node: NodeName, by: Term },
    /// Someone pressed Ctrl-C. `running` goes on at the nodes.
    Interrupted { left: usize, running: Vec<StepId> },
}
