//! The vocabulary that the coordinator and the agents share, and the wire between them.
//!
//! Generated types stop in [`wire`], in [`trust`], and those of [`etcd`] in the agent's host; everything
//! else is plain data.

pub mod audit;
mod causes;
mod digest;
mod event;
mod facts;
mod finding;
mod generated;
pub mod goal;
mod goal_id;
mod id;
mod plain;
pub mod redact;
mod refusal;
mod secret;
pub mod trust;
mod version;
pub mod wire;

pub use audit::AuditHead;
pub use causes::{causes, in_one_line};
pub use digest::{DigestError, Sha256, hex, unhex};
pub use event::{Activity, ActivityKind, Event, Failure};
pub use facts::{
    CaFacts, EtcdFacts, EtcdMember, Facts, InForce, KubernetesFacts, Machine, NodeFacts, UnderWay,
};
pub use finding::{Drift, Finding};
pub use generated::etcd;
pub use goal::Goal;
pub use goal_id::GoalId;
pub use id::{NameError, NodeName, OperationId, RunId, StepId, Term};
pub use plain::plain;
pub use redact::Redactor;
pub use refusal::Refusal;
pub use secret::{JoinMaterial, Secret};
pub use version::{KubernetesVersion, VersionError};

/// The agents' port, unless their settings say otherwise.
pub const AGENT_PORT: u16 = 7443;
/// The coordinator's port for enrolment, unless told otherwise.
pub const ENROL_PORT: u16 = 7444;
