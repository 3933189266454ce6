//! Waiting for what others bring about: asks a goal's own check until it holds.

use std::time::Duration;

use quorate_proto::{ActivityKind, Finding, in_one_line};

use super::{Ensure, Work};
use crate::host::{Host, HostError};

/// Differences that a failure names.
const NAMED: usize = 10;
/// Short beside anything that Kubernetes does, long beside the check itself.
const POLL: Duration = Duration::from_millis(250);

/// Waits until the goal holds, for at most `patience`; `what` is a person's word for it, such as
/// "the API server of cp-1 is ready".
pub(super) async fn until(
    goal: &dyn Ensure,
    host: &dyn Host,
    work: &Work<'_>,
    what: &str,
    patience: Duration,
) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Wait, format!("waiting until {what}"));
    let begun_ms = host.uptime_ms();
    let mut to_go = 1;
    loop {
        let found = match goal.check(host).await {
            Ok(Finding::Satisfied) => return Ok(()),
            Ok(Finding::Drifted(drifts)) => {
                if drifts.len() != to_go {
                    to_go = drifts.len();
                    let text = format!("waiting until {what}, {to_go} to go");
                    work.progress.doing(ActivityKind::Wait, text);
                }
                let each = drifts.iter().map(|drift| format!("{}: {}", drift.what, drift.found));
                let more = to_go.saturating_sub(NAMED);
                let more = (more > 0).then(|| format!("and {more} more"));
                each.take(NAMED).chain(more).collect::<Vec<_>>().join("; ")
            }
            Ok(Finding::Unknown { why }) => why,
            Ok(Finding::Refused { why }) | Err(HostError::Refused(why)) => {
                return Err(HostError::Refused(why));
            }
            Err(error) => in_one_line(&error),
        };
        if u128::from(host.uptime_ms().saturating_sub(begun_ms)) >= patience.as_millis() {
            let seconds = patience.as_secs();
            return Err(HostError::InVain(format!(
                "waited {seconds} s in vain until {what} ({found}): see to that, then run \
                 the same command again"
            )));
        }
        host.pause(POLL).await;
    }
}
