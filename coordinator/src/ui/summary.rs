//! The last words of a run: what failed and why, what is left, where the time went, what to do next.

use quorate_proto::{Finding, NodeName, StepId};

use super::{duration, line, plural, seconds};
use crate::run::{Account, Ended, Failed, NodeState, Outcome, RunState};

/// What Ctrl-C brings about.
pub(super) const INTERRUPTED: &str = "interrupted: no further order is sent, waiting for what runs \
                                      to end (Ctrl-C again to leave at once)";

/// All of it.
pub fn text(state: &RunState, outcome: &Outcome, account: &Account) -> String {
    let mut text = String::from("\n");
    let took = duration(account.total_ms);
    let (cluster, title) = (&state.cluster, &state.title);
    let command = &title.command;
    match outcome {
        // Nothing was planned: what was done is in the run's notes.
        Outcome::Holds if state.rounds == 0 => {
            line(&mut text, format_args!("{} ({took})", title.done));
            return text;
        }
        Outcome::Holds if state.done == 0 && state.rounds == 1 => {
            line(&mut text, format_args!("nothing to do: {} ({took})", title.idle));
            return text;
        }
        Outcome::Holds => {
            let done = plural(state.done, "step");
            line(&mut text, format_args!("{}: {done} done in {took}", title.done));
            if let Some(next) = &title.next {
                line(&mut text, format_args!("next: {next}"));
            }
        }
        Outcome::Failed { left } => {
            line(
                &mut text,
                format_args!("cluster {cluster} is not complete: {}", steps(left, "left")),
            );
            text += &again(state);
        }
        Outcome::Blocked { reasons } => {
            line(&mut text, format_args!("cluster {cluster}: what is left must not be begun now"));
            text += &reasons.iter().map(|reason| format!("  {reason}\n")).collect::<String>();
            line(&mut text, format_args!("next: see to the above, then run `{command}` again"));
            if let Some(blocked) = &title.blocked {
                line(&mut text, format_args!("  {blocked}"));
            }
        }
        Outcome::Superseded { node, by } => {
            line(
                &mut text,
                format_args!(
                    "node {node} obeys run {} (term {}) now: this run sends no further order\n\
                 next: let that run finish; `quorate status` shows what it does",
                    by.run, by.number
                ),
            );
        }
        Outcome::Interrupted { left, running } => {
            line(&mut text, format_args!("interrupted: {} left", plural(*left, "step")));
            for step in running {
                line(&mut text, format_args!("  {} goes on {}", step.node, state.words_of(step)));
            }
            let how = if running.is_empty() {
                "it goes on from here"
            } else {
                "it follows what runs and goes on; `quorate status` shows how far that is"
            };
            line(&mut text, format_args!("next: run `{command}` again: {how}"));
        }
    }
    text + &time(account)
}

/// One failure with everything that is known of it.
pub fn failed(failed: &Failed) -> String {
    let failure = failed.failure.clone().unwrap_or_default();
    let mut text = String::new();
    for (depth, cause) in failure.causes.iter().enumerate() {
        let lead = if depth == 0 { "" } else { "  because " };
        line(&mut text, format_args!("    {lead}{cause}"));
    }
    text += &found(&failed.finding, "    ");
    for (title, lines) in [("its last lines", &failure.output), ("the journal", &failure.journal)] {
        if !lines.is_empty() {
            line(&mut text, format_args!("    {title}:"));
            text += &lines.iter().map(|line| format!("      | {line}\n")).collect::<String>();
        }
    }
    let advice = failure.advice.unwrap_or_else(|| {
        let node = &failed.step.node;
        format!("see `journalctl -u quorate-executor` on {node}, then run the same command again")
    });
    text + &format!("    next: {advice}\n")
}

/// What a check found, as sentences; nothing for a goal that holds.
pub fn found(finding: &Finding, indent: &str) -> String {
    match finding {
        Finding::Satisfied => String::new(),
        Finding::Drifted(drifts) => drifts
            .iter()
            .map(|drift| {
                format!("{indent}{}: {}, wanted {}\n", drift.what, drift.found, drift.wanted)
            })
            .collect(),
        Finding::Unknown { why } => format!("{indent}not known: {why}\n"),
        Finding::Refused { why } => format!("{indent}{why}\n"),
    }
}

/// Where the time went.
pub fn time(account: &Account) -> String {
    format!(
        "of {}: kubeadm {}, packages {}, images {}, waiting for Kubernetes {}, \
         quorate itself {} ({:.1} %)\n",
        seconds(account.total_ms),
        seconds(account.kubeadm_ms),
        seconds(account.packages_ms),
        seconds(account.images_ms),
        seconds(account.waiting_ms),
        seconds(account.overhead_ms),
        account.overhead_percent(),
    )
}

/// Seconds of each step, longest first.
pub fn timings(state: &RunState) -> String {
    let mut ended: Vec<_> = state.ended.iter().collect();
    ended.sort_by_key(|ended| std::cmp::Reverse(ended.took_ms));
    let line = |ended: &&Ended| format!("{:>9}  {}\n", seconds(ended.took_ms), ended.step);
    ended.iter().map(line).collect()
}

/// What stands in the way of the steps that are left, and what to do.
fn again(state: &RunState) -> String {
    let mut text = String::new();
    for failed in &state.failed {
        let cause = failed.failure.as_ref().and_then(|failure| failure.causes.first());
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        line(&mut text, format_args!("  {} failed {}{cause}", failed.step.node, failed.doing));
    }
    let silent = |(node, of_node): &(NodeName, NodeState)| {
        of_node.silent.as_ref().map(|why| {
            format!(
                "  {node} does not answer: {why}\n    if that machine is gone for ever, take it out of \
                 the specification and run `quorate node remove {node}`\n"
            )
        })
    };
    let silent: String = state.nodes.iter().filter_map(silent).collect();
    let first = match (state.failed.is_empty(), silent.is_empty()) {
        (false, true) => "see to what failed, then run",
        (false, false) => "see to what failed and start what does not answer, then run",
        (true, false) => "start the agents there with `systemctl start quorate-agent`, then run",
        (true, true) => "run",
    };
    let command = &state.title.command;
    format!("{text}{silent}next: {first} `{command}` again: it goes on from here\n")
}

fn steps(steps: &[StepId], state: &str) -> String {
    let mut nodes: Vec<&str> = Vec::new();
    for StepId { node, .. } in steps {
        if !nodes.contains(&node.as_str()) {
            nodes.push(node.as_str());
        }
    }
    format!("{} {state} on {}", plural(steps.len(), "step"), nodes.join(", "))
}
