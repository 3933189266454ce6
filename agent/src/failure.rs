//! From an error to what a person is told of it.

use quorate_proto::{ActivityKind, Failure, causes};

use crate::host::{Host, HostError};
use crate::kubeadm::{failures, journal};

/// Lines of output that go with a failure: a screenful beside the rest.
const LINES: usize = 40;

/// What an apply's error means to a person. `activity` is what was being done: the kubelet's words
/// bear on what kubeadm does and on what Kubernetes is waited for.
pub async fn of(host: &dyn Host, activity: Option<ActivityKind>, error: &HostError) -> Failure {
    let (causes, output) = (causes(error), output(error));
    let said = causes.iter().chain(output).map(String::as_str);
    let (advice, journal) = match activity {
        Some(ActivityKind::Kubeadm | ActivityKind::Wait) => {
            (failures::advice(said), journal::journal(host, "kubelet").await)
        }
        Some(ActivityKind::Own | ActivityKind::Packages | ActivityKind::Images) | None => {
            (None, Vec::new())
        }
    };
    let output = last_lines(output);
    let transient = matches!(error, HostError::NotYet(_));
    Failure { causes, output, journal, advice, transient }
}

/// The failure of a goal whose code panicked.
pub fn of_panic(payload: &(dyn std::any::Any + Send)) -> Failure {
    Failure {
        causes: vec![panicked(payload)],
        advice: Some(
            "this is a bug of quorate, not of your machine: please report it with the lines of \
             `journalctl -u quorate-agent` on this node"
                .to_owned(),
        ),
        ..Failure::default()
    }
}

/// What a panic said.
pub fn panicked(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("our bug: the agent's code panicked: {}", text.unwrap_or("without a message"))
}

/// The failure of an operation that was asked to end.
pub fn of_cancelling() -> Failure {
    Failure {
        causes: vec!["the operation was cancelled".to_owned()],
        advice: Some(
            "what it had done so far is left in place; `quorate apply` goes on from there"
                .to_owned(),
        ),
        ..Failure::default()
    }
}

fn output(error: &HostError) -> &[String] {
    match error {
        HostError::Failed { output, .. } | HostError::Deadline { output, .. } => output,
        HostError::Io { .. }
        | HostError::Silent { .. }
        | HostError::Refused(_)
        | HostError::NotYet(_) => &[],
    }
}

fn last_lines(lines: &[String]) -> Vec<String> {
    lines.iter().skip(lines.len().saturating_sub(LINES)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_the_last_lines() {
        let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        let last = last_lines(&lines);
        assert_eq!(last.len(), LINES);
        assert_eq!(last.last(), lines.last());
        assert_eq!(last_lines(&lines[..3]), lines[..3]);
    }
}
