//! From an error to what a person is told of it.

use quorate_proto::{ActivityKind, Failure, causes};

use crate::host::{Host, HostError};
use crate::kubeadm::{etcd_log, failures, journal};

/// Lines of output that go with a failure: a screenful beside the rest.
const LINES: usize = 40;

/// What an apply's error means to a person. `activity` is what was being done: the kubelet's words
/// bear on what kubeadm does and on what Kubernetes is waited for.
pub async fn of(host: &dyn Host, activity: Option<ActivityKind>, error: &HostError) -> Failure {
    let (causes, output) = (causes(error), output(error));
    let mut said: Vec<&str> = causes.iter().chain(output).map(String::as_str).collect();
    let mut journal = match activity {
        Some(ActivityKind::Kubeadm | ActivityKind::Wait) => journal::journal(host, "kubelet").await,
        Some(ActivityKind::Own | ActivityKind::Packages | ActivityKind::Images) | None => {
            Vec::new()
        }
    };
    let of_etcd = said.iter().any(|line| line.contains("etcd"));
    let complaints = if of_etcd { etcd_log::complaints(host).await } else { Vec::new() };
    said.extend(complaints.iter().map(String::as_str));
    let known = failures::advice(said);
    journal.extend(complaints);
    // A refusal says itself what to do; no log would tell more.
    let refused = matches!(error, HostError::Refused(_));
    let advice = known.or_else(|| refused.then(|| SEE_TO_IT.to_owned()));
    let output = last_lines(output);
    let transient = matches!(error, HostError::NotYet(_));
    Failure { causes, output, journal, advice, transient }
}

const SEE_TO_IT: &str = "see to that, then run the same command again, which goes on from here";

/// The failure of a goal whose code panicked.
pub fn of_panic(payload: &(dyn std::any::Any + Send)) -> Failure {
    Failure {
        causes: vec![panicked(payload)],
        advice: Some(
            "this is a bug of quorate, not of your machine: please report it with the lines of \
             `journalctl -u quorate-executor` on this node"
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

/// The failure of an operation of which only what systemd ran has outlived an agent that was restarted or upgraded.
pub fn of_restart() -> Failure {
    Failure {
        causes: vec!["the agent was restarted in the middle of it".to_owned()],
        transient: true,
        ..Failure::default()
    }
}

fn output(error: &HostError) -> &[String] {
    match error {
        HostError::Failed { output, .. } | HostError::Deadline { output, .. } => output,
        HostError::Io { .. }
        | HostError::Silent { .. }
        | HostError::Refused(_)
        | HostError::NotYet(_)
        | HostError::InVain(_) => &[],
    }
}

fn last_lines(lines: &[String]) -> Vec<String> {
    lines.iter().skip(lines.len().saturating_sub(LINES)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    #[tokio::test]
    async fn a_phase_that_fails_shows_its_lines_the_journal_and_the_cause() {
        let host = FakeHost::bare();
        let line = "E1123 08:14:41.000001    11 run.go:74] \"command failed\" err=\"swap is on\"";
        host.state().systemd.journal = format!("Started kubelet.service\n{line}\n");
        let said = "failed to run Kubelet: running with swap on is not supported";
        let error = HostError::Failed {
            command: "kubeadm init phase kubelet-start".to_owned(),
            status: 1,
            output: vec!["[kubelet-start] Starting the kubelet".to_owned(), said.to_owned()],
        };
        let failure = of(&host, Some(ActivityKind::Kubeadm), &error).await;
        assert_eq!(failure.causes, ["`kubeadm init phase kubelet-start` ended with status 1"]);
        assert_eq!(failure.output.last().map(String::as_str), Some(said));
        assert_eq!(failure.journal, [line]);
        assert!(failure.advice.is_some_and(|advice| advice.starts_with("swap is on: run ")));
    }

    #[tokio::test]
    async fn where_etcd_does_not_start_its_own_log_says_why() {
        let host = FakeHost::bare();
        let panic =
            r#"{"level":"panic","msg":"failed to create WAL","error":"no space left on device"}"#;
        let log = "/var/log/pods/kube-system_etcd-cp-3_f1ec/etcd/0.log";
        host.state().put(log, &format!("2026-11-23T12:25:22.9Z stderr F {panic}\n"));
        let error = HostError::Failed {
            command: "kubeadm join phase etcd-join".to_owned(),
            status: 1,
            output: vec!["error: the etcd member 65587b0117cf817e is not started".to_owned()],
        };
        let failure = of(&host, Some(ActivityKind::Kubeadm), &error).await;
        assert_eq!(failure.journal, ["etcd: failed to create WAL: no space left on device"]);
        assert!(
            failure.advice.is_some_and(|advice| advice.starts_with("a disk of the node is full"))
        );
    }

    #[tokio::test]
    async fn a_program_that_was_killed_is_said_to_be() {
        let (command, output) = ("kubeadm join phase preflight".to_owned(), Vec::new());
        let error = HostError::Failed { command, status: 137, output };
        let failure = of(&FakeHost::bare(), Some(ActivityKind::Kubeadm), &error).await;
        assert!(
            failure.advice.is_some_and(|advice| advice.starts_with("it was killed, by somebody"))
        );
    }

    #[tokio::test]
    async fn a_refusal_sends_nobody_to_a_log() {
        let error = HostError::Refused("ask for another version".to_owned());
        let failure = of(&FakeHost::bare(), Some(ActivityKind::Packages), &error).await;
        assert_eq!(failure.advice.as_deref(), Some(SEE_TO_IT));
    }

    /// It has waited for as long as it may take: two more times would only keep a person waiting.
    #[tokio::test]
    async fn waiting_in_vain_is_not_worth_another_try() {
        let worth = async |error| of(&FakeHost::bare(), None, &error).await.transient;
        assert!(worth(HostError::NotYet("dpkg is locked".to_owned())).await);
        assert!(!worth(HostError::InVain("waited 30 s".to_owned())).await);
    }

    #[test]
    fn a_failure_keeps_the_last_lines() {
        let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        let last = last_lines(&lines);
        assert_eq!(last.len(), LINES);
        assert_eq!(last.last(), lines.last());
        assert_eq!(last_lines(&lines[..3]), lines[..3]);
    }
}
