//! A look at everything that gives Kubernetes time to come to rest.
//!
//! Right after a node became ready, Kubernetes may say for some seconds that its pods are not: the
//! controller manager still marks the pods of the node as it saw it last (event `NodeNotReady` on the
//! pod), and the kubelet puts that right with its next report. That is no difference from the
//! specification, and one look cannot tell it from one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::observe::{check, survey};
use crate::fleet::Fleet;
use crate::plan::Observed;
use crate::procedure::Procedure;
use crate::run::machine::Checked;
use crate::spec::ClusterSpec;

/// Kubelets report what changed every ten seconds.
pub const SETTLING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// Checks everything that the specification asks for. Looks again, for at most `SETTLING`, while all
/// that differs is what Kubernetes brings about by itself and every node answers. `waiting` is told
/// once, with what was found first.
///
/// Errors: what the last look saw, and what of it stands against a plan.
pub async fn settled(
    fleet: &Arc<dyn Fleet>,
    spec: &ClusterSpec,
    waiting: impl FnOnce(&Checked),
) -> Result<Checked, (Observed, Vec<String>)> {
    let began = Instant::now();
    let mut waiting = Some(waiting);
    loop {
        let seen = survey(fleet, spec, None).await;
        let observed = seen.observed.clone();
        let checked = check(fleet, spec, &Procedure::BringUp, seen).await;
        let checked = checked.map_err(|reasons| (observed, reasons))?;
        if !may_settle(&checked) || began.elapsed() >= SETTLING {
            return Ok(checked);
        }
        if let Some(tell) = waiting.take() {
            tell(&checked);
        }
        sleep(PAUSE).await;
    }
}

fn may_settle((outline, findings, observed): &Checked) -> bool {
    let mut differing = outline.differing(findings).peekable();
    observed.silent().next().is_none()
        && differing.peek().is_some()
        && differing.all(|(step, _)| step.goal.is_awaited())
}
