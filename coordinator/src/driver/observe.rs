//! The two rounds of looking at all nodes: Describe, then Check of every goal. Changes nothing but,
//! where a run is about to give orders, whom the nodes obey.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quorate_proto::{Goal, NodeName, StepId, Term};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, FleetError};
use crate::plan::{ClockOffset, Findings, Observed, Outline, Plan, Sight, pending};
use crate::procedure::Procedure;
use crate::spec::ClusterSpec;

/// What one round of Describe gave.
#[derive(Debug, Default)]
pub struct Survey {
    pub observed: Observed,
    /// Nodes at whose address someone else answers: no plan can be made past them.
    pub strangers: Vec<(NodeName, String)>,
    /// Nodes whose audit log is not the one that was seen before; each reason says what to do.
    pub distrusted: Vec<(NodeName, String)>,
    /// A node that obeys a newer run than the one that claims it.
    pub superseded: Option<(NodeName, Term)>,
}

impl Survey {
    /// What stands against a plan where someone else answers, or one whom nobody should trust. Each reason says itself what to do.
    pub fn strangers_told(&self, spec: &ClusterSpec) -> Vec<String> {
        let reason = |(node, why): &(NodeName, String)| {
            let known = spec.nodes.iter().find(|known| known.name == *node);
            let at = known.map(|known| SocketAddr::new(known.address, known.agent_port));
            let at = at.map(|at| format!(", {at}")).unwrap_or_default();
            format!("someone else than {node} answers at its address{at}: {why}")
        };
        let distrusted = self.distrusted.iter().map(|(_, why)| why.clone());
        self.strangers.iter().map(reason).chain(distrusted).collect()
    }
}

/// Asks every node of the specification what it is and holds, all at once. With a claim, no older
/// order begins at a node that answered: what the survey does not show cannot happen any more.
pub async fn survey(fleet: &Arc<dyn Fleet>, spec: &ClusterSpec, claim: Option<&Term>) -> Survey {
    let mut asked = JoinSet::new();
    for node in &spec.nodes {
        let (fleet, node, claim) = (Arc::clone(fleet), node.name.clone(), claim.cloned());
        asked.spawn(async move {
            let before = now_ms();
            let answer = fleet.describe(&node, claim.as_ref()).await;
            (node, answer, before, now_ms())
        });
    }
    let mut survey = Survey::default();
    for (node, answer, before, after) in asked.join_all().await {
        let sight = match answer {
            Ok(facts) => Sight::Seen {
                clock: ClockOffset {
                    least_ms: offset(facts.machine.clock_ms, after),
                    most_ms: offset(facts.machine.clock_ms, before),
                },
                facts: Box::new(facts),
            },
            Err(FleetError::Stranger { node, why }) => {
                survey.strangers.push((node, why.clone()));
                Sight::Silent { why: format!("someone else answers there: {why}") }
            }
            Err(FleetError::Distrusted { node, why }) => {
                survey.distrusted.push((node, why.clone()));
                Sight::Silent { why }
            }
            Err(error) => {
                if let FleetError::Superseded { node, term } = &error {
                    survey.superseded = Some((node.clone(), term.clone()));
                }
                Sight::Silent { why: error.why() }
            }
        };
        survey.observed.nodes.insert(node, sight);
    }
    survey.strangers.sort();
    survey.distrusted.sort();
    survey
}

/// The coordinator's clock, milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How far `theirs` is ahead of `ours`.
fn offset(theirs: u64, ours: u64) -> i64 {
    let size = i64::try_from(theirs.abs_diff(ours)).unwrap_or(i64::MAX);
    if theirs >= ours { size } else { -size }
}

/// What one look at all nodes gave.
#[derive(Debug)]
pub struct Drawn {
    pub observed: Observed,
    pub outline: Outline,
    pub findings: Findings,
    pub plan: Plan,
}

/// What there is to check, what was found of it, and the nodes as they are by then.
pub type Checked = (Outline, Findings, Observed);

/// Checks every goal of the procedure and works out what is left, or the reasons why that must not
/// be begun.
pub async fn draw_up(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    procedure: &Procedure,
    survey: Survey,
) -> Result<Drawn, Vec<String>> {
    let (outline, findings, observed) = check(fleet, spec, procedure, survey).await?;
    let plan = pending(&outline, &findings, &observed).map_err(|blocked| blocked.reasons())?;
    Ok(Drawn { observed, outline, findings, plan })
}

/// Asks every node that was seen whether its goals hold: one call a node, all at once.
///
/// A node that falls silent in between counts as silent.
pub async fn check(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    procedure: &Procedure,
    survey: Survey,
) -> Result<Checked, Vec<String>> {
    let against = survey.strangers_told(spec);
    if !against.is_empty() {
        return Err(against);
    }
    let mut observed = survey.observed;
    let outline = procedure.outline(spec, &observed).map_err(|blocked| blocked.reasons())?;
    let mut goals: BTreeMap<&NodeName, Vec<(StepId, Goal)>> = BTreeMap::new();
    for step in outline.steps.iter().filter(|step| observed.facts(&step.id.node).is_some()) {
        let of_node = goals.entry(&step.id.node).or_default();
        of_node.push((step.id.clone(), step.goal.clone()));
    }
    let mut asked = JoinSet::new();
    for (node, steps) in goals {
        let (fleet, node) = (Arc::clone(fleet), node.clone());
        asked.spawn(async move {
            let (ids, goals): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
            let answer = fleet.check(&node, &goals).await;
            (node, answer.map(|findings| ids.into_iter().zip(findings).collect::<Vec<_>>()))
        });
    }
    let mut findings = Findings::new();
    for (node, answer) in asked.join_all().await {
        match answer {
            Ok(of_node) => findings.extend(of_node),
            Err(error) => drop(observed.nodes.insert(node, Sight::Silent { why: error.why() })),
        }
    }
    Ok((outline, findings, observed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind() {
        assert_eq!((offset(1500, 1000), offset(1000, 1500)), (500, -500));
    }
}
