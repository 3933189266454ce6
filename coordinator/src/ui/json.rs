//! JSON for programs: one object a line. Of a run, each event exactly as it is stored; of the other
//! commands, one object with their result.

use std::collections::BTreeMap;

use quorate_proto::{Finding, NodeName, RunId, StepId};
use serde::Serialize;

use crate::plan::{Findings, Observed, Outline, Plan};
use crate::run::{Fate, Outcome, PastRun, RunState, Silent, Stamped, View};
use crate::site::{Phase, TrustStanding};
use crate::status::Status;
use crate::store::StoredEvent;

/// Prints each event.
pub(super) struct Json;

impl View for Json {
    fn show(&mut self, _state: &RunState, stamped: &Stamped) {
        super::print(&line(stamped));
    }

    fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

    fn close(&mut self) {}
}

/// A stored event, to the letter as it was printed then.
pub fn stored(event: &StoredEvent) -> String {
    let StoredEvent { seq, at_ms, json } = event;
    format!("{{\"seq\":{seq},\"at_ms\":{at_ms},\"event\":{json}}}\n")
}

/// The result of `runs`.
pub fn runs(runs: &[PastRun], now_ms: u64) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        runs: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        run: &'a RunId,
        term: u64,
        cluster: &'a str,
        spec_sha256: &'a str,
        started_ms: u64,
        took_ms: u64,
        done: usize,
        failed: Vec<&'a StepId>,
        fate: Fate,
        outcome: Option<&'a Outcome>,
    }
    let runs = runs.iter().map(|run| One {
        run: &run.stored.id,
        term: run.stored.term,
        cluster: &run.state.cluster,
        spec_sha256: &run.stored.spec_sha256,
        started_ms: run.stored.started_ms,
        took_ms: run.took_ms(now_ms),
        done: run.state.done,
        failed: run.state.failed.iter().map(|failed| &failed.step).collect(),
        fate: run.fate,
        outcome: run.stored.outcome.as_ref(),
    });
    line(&Shown { runs: runs.collect() })
}

/// The result of `plan`.
pub fn plan(plan: &Plan, defaults: &[(String, String)]) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        plan: &'a Plan,
        defaults: &'a [(String, String)],
    }
    line(&Shown { plan, defaults })
}

/// The result of `verify`.
pub fn verdict(holds: bool, outline: &Outline, findings: &Findings, observed: &Observed) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        holds: bool,
        silent: Vec<Silent>,
        drifts: Vec<Drifting<'a>>,
    }
    #[derive(Serialize)]
    struct Drifting<'a> {
        step: &'a StepId,
        finding: &'a Finding,
    }
    let silent = observed.silent();
    let silent = silent.map(|(node, why)| Silent { node: node.clone(), why: why.to_owned() });
    let drifts = outline.differing(findings);
    let drifts = drifts.map(|(step, finding)| Drifting { step: &step.id, finding });
    line(&Shown { holds, silent: silent.collect(), drifts: drifts.collect() })
}

/// The result of `status`.
pub fn status(status: &Status) -> String {
    line(status)
}

/// The result of `trust rotate --dry-run`.
pub fn rotation(phase: Phase, waits_for: &BTreeMap<NodeName, String>) -> String {
    #[derive(Serialize)]
    struct Shown<'a> {
        phase: Phase,
        waits_for: &'a BTreeMap<NodeName, String>,
    }
    line(&Shown { phase, waits_for })
}

/// The result of `trust status`.
pub fn trust(standing: &TrustStanding) -> String {
    line(standing)
}

fn line(value: &impl Serialize) -> String {
    // Plain data with text keys: it always serialises.
    serde_json::to_string(value).map(|json| json + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use quorate_proto::{Activity, ActivityKind, Event};

    use super::*;
    use crate::run::RunEvent;

    #[test]
    fn an_event_is_one_line_that_reads_back() {
        let step = StepId { node: "cp-2".try_into().unwrap(), goal: "etcd-member".into() };
        let activity = Activity { kind: ActivityKind::Kubeadm, text: "kubeadm".to_owned() };
        let event = RunEvent::Told { step, event: Event::Activity(activity) };
        let stamped = Stamped { seq: 7, at_ms: 1200, event };
        let line = line(&stamped);
        assert_eq!(
            line,
            "{\"seq\":7,\"at_ms\":1200,\"event\":{\"kind\":\"told\",\"step\":{\"node\":\"cp-2\",\
             \"goal\":\"etcd-member\"},\"event\":{\"activity\":{\"kind\":\"kubeadm\",\
             \"text\":\"kubeadm\"}}}}\n"
        );
        assert_eq!(serde_json::from_str::<Stamped>(&line).unwrap(), stamped);
    }

    #[test]
    fn the_documented_events_are_those_that_are_printed() {
        let text = include_str!("../../../docs/EVENTS.md");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('{')).collect();
        let mut state = RunState::default();
        for json in &lines {
            let stamped: Stamped = serde_json::from_str(json).unwrap();
            assert_eq!(line(&stamped).trim_end(), *json);
            state.fold(&stamped);
            if let RunEvent::Finished { account, .. } = stamped.event {
                assert_eq!(account, state.account);
            }
        }
        assert_eq!((lines.len(), state.done, state.left.len()), (8, 1, 0));
    }
}
