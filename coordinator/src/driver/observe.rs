//! The two rounds of looking at all nodes: Describe, then Check of every goal. Changes nothing but,
//! where a run is about to give orders, whom the nodes obey.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quorate_proto::{Goal, NodeName, Term};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, FleetError};
use crate::plan::ClockOffset;
use crate::procedure::Procedure;
use crate::run::machine::{Barred, Checked, Checks, Described, Drawn, Survey};
use crate::spec::ClusterSpec;

/// Asks every node of the specification what it is and holds, all at once. With a claim, no older
/// order begins at a node that answered: what the survey does not show cannot happen any more.
pub async fn survey(fleet: &Arc<dyn Fleet>, spec: &ClusterSpec, claim: Option<&Term>) -> Survey {
    let mut asked = JoinSet::new();
    for node in &spec.nodes {
        let (fleet, node, claim) = (Arc::clone(fleet), node.name.clone(), claim.cloned());
        asked.spawn(async move {
            let answer = describe(&fleet, &node, claim.as_ref()).await;
            (node, answer)
        });
    }
    let mut survey = Survey::default();
    for (node, answer) in asked.join_all().await {
        survey.take(node, answer);
    }
    survey
}

/// Asks one node what it is and holds, and compares its clock.
pub(super) async fn describe(
    fleet: &Arc<dyn Fleet>,
    node: &NodeName,
    claim: Option<&Term>,
) -> Result<Described, FleetError> {
    let before = now_ms();
    let facts = fleet.describe(node, claim).await?;
    let clock = ClockOffset {
        least_ms: offset(facts.machine.clock_ms, now_ms()),
        most_ms: offset(facts.machine.clock_ms, before),
    };
    Ok(Described { facts: Box::new(facts), clock })
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

/// Checks every goal of the procedure and works out what is left, or the reasons why that must not
/// be begun.
pub async fn draw_up(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    procedure: &Procedure,
    survey: Survey,
) -> Result<Drawn, Vec<String>> {
    let checks = checks(fleet, spec, procedure, survey).await;
    checks.and_then(|checks| checks.draw_up(procedure)).map_err(|barred| barred.reasons())
}

/// Asks every node that was seen whether its goals hold.
pub async fn check(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    procedure: &Procedure,
    survey: Survey,
) -> Result<Checked, Vec<String>> {
    let checks = checks(fleet, spec, procedure, survey).await;
    checks.map(Checks::checked).map_err(|barred| barred.reasons())
}

async fn checks(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    procedure: &Procedure,
    survey: Survey,
) -> Result<Checks, Barred> {
    let mut checks = survey.checks(spec, procedure)?;
    let mut asked = JoinSet::new();
    for (node, goals) in checks.questions() {
        let fleet = Arc::clone(fleet);
        asked.spawn(async move {
            let goals: Vec<Goal> = goals.steps().map(|step| step.goal.clone()).collect();
            let answer = fleet.check(&node, &goals).await;
            (node, answer)
        });
    }
    for (node, answer) in asked.join_all().await {
        checks.take(node, answer);
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_ahead_or_behind() {
        assert_eq!((offset(1500, 1000), offset(1000, 1500)), (500, -500));
    }
}
