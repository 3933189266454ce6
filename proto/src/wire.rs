//! Generated messages to typed values and back: no other file names a message of node.proto.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::{Activity, ActivityKind, Event, Failure};
use crate::finding::{Drift, Finding};
pub use crate::generated::node;
use crate::goal::Invalid;
use crate::id::{OperationId, RunId, Term};
use crate::secret::{JoinMaterial, Secret};
use crate::{Facts, Goal};

/// Largest message, either way. A manifest may have 3 MiB, which escapes at worst double, and the
/// other goals of its node come with it; facts and kubeconfigs are far smaller.
pub const MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// A message that does not say what its type must.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the message lacks {0}")]
    Missing(&'static str),
    #[error("{0} is not understood; the other side may be of another version")]
    Json(&'static str, #[source] serde_json::Error),
    /// The text says where and not what: it is secret.
    #[error(
        "the join material is not understood (line {0}, column {1}); the other side may be of \
         another version"
    )]
    Material(usize, usize),
    #[error("{0:?} is not a kind of activity known here")]
    ActivityKind(String),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// An order: the typed form of `EnsureRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub operation: OperationId,
    pub term: Term,
    pub goal: Goal,
    /// For the goals that join or let join.
    pub material: Option<JoinMaterial>,
}

impl Order {
    /// Whether an agent may carry it out.
    ///
    /// # Errors
    /// The first value that is not as its kind must be.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.operation.validate()?;
        self.term.validate()?;
        self.goal.validate()?;
        self.material.as_ref().map_or(Ok(()), JoinMaterial::validate)
    }
}

/// A wish that an operation ends: the typed form of `CancelRequest`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    pub operation: OperationId,
    pub term: Term,
}

impl Cancellation {
    /// Whether an agent may look for it.
    ///
    /// # Errors
    /// If the operation or the run has no id.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.operation.validate()?;
        self.term.validate()
    }
}

fn to_json(value: &impl Serialize) -> String {
    // The types serialise to plain JSON: no map with keys other than strings, no failing impl.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, WireError> {
    serde_json::from_str(json).map_err(|error| WireError::Json(what, error))
}

impl From<Option<&Term>> for node::DescribeRequest {
    fn from(claim: Option<&Term>) -> Self {
        Self { claim: claim.map(Into::into) }
    }
}

impl From<node::DescribeRequest> for Option<Term> {
    fn from(request: node::DescribeRequest) -> Self {
        request.claim.map(Into::into)
    }
}

impl From<&Facts> for node::DescribeReply {
    fn from(facts: &Facts) -> Self {
        Self { facts_json: to_json(facts) }
    }
}

impl TryFrom<node::DescribeReply> for Facts {
    type Error = WireError;

    fn try_from(reply: node::DescribeReply) -> Result<Self, WireError> {
        from_json("the description", &reply.facts_json)
    }
}

impl From<&Secret> for node::KubeconfigReply {
    fn from(kubeconfig: &Secret) -> Self {
        Self { kubeconfig: kubeconfig.expose().to_owned() }
    }
}

impl From<node::KubeconfigReply> for Secret {
    fn from(reply: node::KubeconfigReply) -> Self {
        Self::new(reply.kubeconfig)
    }
}

impl From<&[Goal]> for node::CheckRequest {
    fn from(goals: &[Goal]) -> Self {
        Self { goals_json: goals.iter().map(to_json).collect() }
    }
}

impl TryFrom<node::CheckRequest> for Vec<Goal> {
    type Error = WireError;

    fn try_from(request: node::CheckRequest) -> Result<Self, WireError> {
        Goal::validate_count(request.goals_json.len())?;
        let goal = |json: &String| {
            let goal: Goal = from_json("a goal", json)?;
            goal.validate()?;
            Ok(goal)
        };
        request.goals_json.iter().map(goal).collect()
    }
}

impl From<Vec<Finding>> for node::CheckReply {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings: findings.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<node::CheckReply> for Vec<Finding> {
    type Error = WireError;

    fn try_from(reply: node::CheckReply) -> Result<Self, WireError> {
        reply.findings.into_iter().map(TryInto::try_into).collect()
    }
}

impl From<Finding> for node::Finding {
    fn from(finding: Finding) -> Self {
        use node::finding::{Drifted, Kind, Refused, Satisfied, Unknown};
        let kind = match finding {
            Finding::Satisfied => Kind::Satisfied(Satisfied {}),
            Finding::Drifted(drifts) => {
                let drift = |Drift { what, found, wanted, in_use }| node::Drift {
                    what,
                    found,
                    wanted,
                    in_use,
                };
                Kind::Drifted(Drifted { drifts: drifts.into_iter().map(drift).collect() })
            }
            Finding::Unknown { why } => Kind::Unknown(Unknown { why }),
            Finding::Refused { why } => Kind::Refused(Refused { why }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<node::Finding> for Finding {
    type Error = WireError;

    fn try_from(finding: node::Finding) -> Result<Self, WireError> {
        use node::finding::Kind;
        Ok(match finding.kind.ok_or(WireError::Missing("a finding"))? {
            Kind::Satisfied(_) => Self::Satisfied,
            Kind::Drifted(drifted) => {
                let drift = |node::Drift { what, found, wanted, in_use }| Drift {
                    what,
                    found,
                    wanted,
                    in_use,
                };
                Self::Drifted(drifted.drifts.into_iter().map(drift).collect())
            }
            Kind::Unknown(unknown) => Self::Unknown { why: unknown.why },
            Kind::Refused(refused) => Self::Refused { why: refused.why },
        })
    }
}

impl From<&Term> for node::Term {
    fn from(term: &Term) -> Self {
        Self { number: term.number, run: term.run.0.clone() }
    }
}

impl From<node::Term> for Term {
    fn from(term: node::Term) -> Self {
        Self { number: term.number, run: RunId(term.run) }
    }
}

impl From<&Order> for node::EnsureRequest {
    fn from(order: &Order) -> Self {
        Self {
            operation: order.operation.0.clone(),
            term: Some((&order.term).into()),
            goal_json: to_json(&order.goal),
            material_json: order.material.as_ref().map(to_json).unwrap_or_default(),
        }
    }
}

impl TryFrom<node::EnsureRequest> for Order {
    type Error = WireError;

    fn try_from(request: node::EnsureRequest) -> Result<Self, WireError> {
        let material = match request.material_json.as_str() {
            "" => None,
            json => Some(
                serde_json::from_str(json)
                    .map_err(|error| WireError::Material(error.line(), error.column()))?,
            ),
        };
        let order = Self {
            operation: OperationId(request.operation),
            term: request.term.ok_or(WireError::Missing("a term"))?.into(),
            goal: from_json("the goal", &request.goal_json)?,
            material,
        };
        order.validate()?;
        Ok(order)
    }
}

impl From<&Cancellation> for node::CancelRequest {
    fn from(cancellation: &Cancellation) -> Self {
        Self {
            operation: cancellation.operation.0.clone(),
            term: Some((&cancellation.term).into()),
        }
    }
}

impl TryFrom<node::CancelRequest> for Cancellation {
    type Error = WireError;

    fn try_from(request: node::CancelRequest) -> Result<Self, WireError> {
        let term = request.term.ok_or(WireError::Missing("a term"))?.into();
        let cancellation = Self { operation: OperationId(request.operation), term };
        cancellation.validate()?;
        Ok(cancellation)
    }
}

impl From<Event> for node::Event {
    fn from(event: Event) -> Self {
        use node::event::{Activity as WireActivity, Ended, Kind, Output, Started};
        let kind = match event {
            Event::Started { attached } => Kind::Started(Started { attached }),
            Event::Activity(Activity { kind, text }) => {
                Kind::Activity(WireActivity { kind: activity_name(kind).to_owned(), text })
            }
            Event::Output { line } => Kind::Output(Output { line }),
            Event::Ended { finding, failure } => Kind::Ended(Ended {
                finding: Some(finding.into()),
                failure: failure.map(|failure| node::Failure {
                    causes: failure.causes,
                    output: failure.output,
                    journal: failure.journal,
                    advice: failure.advice.unwrap_or_default(),
                    transient: failure.transient,
                }),
            }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<node::Event> for Event {
    type Error = WireError;

    fn try_from(event: node::Event) -> Result<Self, WireError> {
        use node::event::Kind;
        Ok(match event.kind.ok_or(WireError::Missing("an event"))? {
            Kind::Started(started) => Self::Started { attached: started.attached },
            Kind::Activity(activity) => Self::Activity(Activity {
                kind: activity_kind(&activity.kind)?,
                text: activity.text,
            }),
            Kind::Output(output) => Self::Output { line: output.line },
            Kind::Ended(ended) => Self::Ended {
                finding: ended.finding.ok_or(WireError::Missing("a finding"))?.try_into()?,
                failure: ended.failure.map(|failure| Failure {
                    causes: failure.causes,
                    output: failure.output,
                    journal: failure.journal,
                    advice: Some(failure.advice).filter(|advice| !advice.is_empty()),
                    transient: failure.transient,
                }),
            },
        })
    }
}

const ACTIVITIES: [(ActivityKind, &str); 5] = [
    (ActivityKind::Own, "own"),
    (ActivityKind::Kubeadm, "kubeadm"),
    (ActivityKind::Packages, "packages"),
    (ActivityKind::Images, "images"),
    (ActivityKind::Wait, "wait"),
];

fn activity_name(kind: ActivityKind) -> &'static str {
    ACTIVITIES.iter().find(|(known, _)| *known == kind).map_or("own", |(_, name)| name)
}

fn activity_kind(name: &str) -> Result<ActivityKind, WireError> {
    let known = ACTIVITIES.iter().find(|(_, known)| *known == name);
    known.map(|(kind, _)| *kind).ok_or_else(|| WireError::ActivityKind(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::HostGoal;

    fn there_and_back(event: &Event) {
        let wire = node::Event::from(event.clone());
        assert_eq!(*event, Event::try_from(wire).unwrap());
    }

    #[test]
    fn events_survive_the_wire() {
        there_and_back(&Event::Started { attached: true });
        for (kind, _) in ACTIVITIES {
            there_and_back(&Event::Activity(Activity { kind, text: "text".to_owned() }));
        }
        there_and_back(&Event::Output { line: "[certs] Generating".to_owned() });
        let why = || "why".to_owned();
        let findings = [
            Finding::Satisfied,
            Finding::Drifted(vec![Drift::new("swap", "on", "off")]),
            Finding::Unknown { why: why() },
            Finding::Refused { why: why() },
        ];
        for finding in findings {
            let failure = Some(Failure { causes: vec![why()], ..Failure::default() });
            there_and_back(&Event::Ended { finding, failure });
        }
    }

    #[test]
    fn an_order_survives_the_wire_and_a_strange_goal_is_refused() {
        let order = Order {
            operation: OperationId("1".to_owned()),
            term: Term { number: 7, run: RunId("r".to_owned()) },
            goal: Goal::Host(HostGoal::SwapOff),
            material: None,
        };
        let mut wire = node::EnsureRequest::from(&order);
        assert_eq!(Order::try_from(wire.clone()).unwrap(), order);
        wire.goal_json = r#"{"run-shell":"rm -rf /"}"#.to_owned();
        assert!(matches!(Order::try_from(wire), Err(WireError::Json("the goal", _))));
    }
}
