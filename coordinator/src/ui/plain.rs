//! A run as lines of text: time since its beginning, node, sentence. For logs and pipes.

use quorate_proto::{ActivityKind, Event, NodeName, StepId};

use super::{duration, plural, seconds, summary};
use crate::run::{Began, RunEvent, RunState, Silent, Stamped, View};
use crate::store::StoredEvent;

/// Prints lines as events come.
pub(super) struct Plain {
    /// The seconds of each step at the end.
    pub(super) timings: bool,
}

impl View for Plain {
    fn show(&mut self, state: &RunState, stamped: &Stamped) {
        super::print(&text(state, stamped, self.timings));
    }

    fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

    fn close(&mut self) {}
}

/// All that is printed of one event.
pub(crate) fn text(state: &RunState, stamped: &Stamped, timings: bool) -> String {
    let mut text = lines(state, stamped);
    if timings && matches!(stamped.event, RunEvent::Finished { .. }) {
        text += &summary::timings(state);
    }
    text
}

/// The line of a stored event that another version of quorate wrote and this one does not know.
pub(super) fn unknown(state: &RunState, event: &StoredEvent) -> String {
    let json: serde_json::Value = serde_json::from_str(&event.json).unwrap_or_default();
    let kind = json.get("kind").and_then(|kind| kind.as_str()).unwrap_or("without a kind");
    let (at, width) = (seconds(event.at_ms), width(state));
    let known = "this version of quorate does not know what happened here";
    format!("{at:>8}  {:<width$}  {known}: {kind}\n", "")
}

/// What one event says; empty where it tells a person nothing new.
pub(super) fn lines(state: &RunState, stamped: &Stamped) -> String {
    let at = |node: &str, text: &str| {
        let at = seconds(stamped.at_ms);
        format!("{at:>8}  {node:<width$}  {text}\n", width = width(state))
    };
    let on = |node: &NodeName, text: &str| at(node.as_str(), text);
    match &stamped.event {
        RunEvent::Began(Began { run, term, cluster, nodes, title, started_ms: _ }) => {
            let nodes = plural(nodes.len(), "node");
            let purpose = title.purpose.as_ref().map(|purpose| format!(", {purpose}"));
            let purpose = purpose.unwrap_or_default();
            at("", &format!("run {run} on cluster {cluster}, {nodes} (term {term}){purpose}"))
        }
        RunEvent::Planned { left, silent } => {
            let round = if state.rounds > 1 { "looked at all nodes again: " } else { "" };
            let mut text = at("", &format!("{round}{} left", plural(left.len(), "step")));
            for silent in silent {
                text += &on(&silent.node, &format!("does not answer: {}", silent.why));
            }
            text
        }
        RunEvent::Missed { silent, seconds } => {
            let missed = |silent: &Silent| {
                let Silent { node, why } = silent;
                on(node, &format!("does not answer, waiting up to {seconds} s for it: {why}"))
            };
            silent.iter().map(missed).collect()
        }
        RunEvent::Followed { step, by, doing, .. } => {
            let by = by.as_ref().map(|by| format!(" by order of run {}", by.run));
            on(&step.node, &format!("is still {doing}{}: following it", by.unwrap_or_default()))
        }
        RunEvent::NotTaken { step, why } => {
            on(&step.node, &format!("{}: not yet, {why}", state.words_of(step)))
        }
        RunEvent::Freed { step } => {
            on(&step.node, &format!("is free again, {} is over", state.words_of(step)))
        }
        RunEvent::Told { step, event } => {
            let told = told(state, step, event).map(|text| on(&step.node, &text));
            let failed = failure(state, step, event);
            let failed = failed.map(|(head, details)| on(&step.node, &head) + &details);
            told.or(failed).unwrap_or_default()
        }
        RunEvent::Broken { step, why } => {
            on(&step.node, &format!("the connection broke, asking again: {why}"))
        }
        RunEvent::Lost { step, why } => {
            let doing = state.words_of(step);
            on(&step.node, &format!("is given up on while {doing}, the others go on: {why}"))
        }
        RunEvent::Overdue { step, seconds } => {
            let doing = state.words_of(step);
            on(&step.node, &format!("still {doing} after {seconds} s; it is not interrupted"))
        }
        RunEvent::Retrying { step, attempt, why } => {
            let doing = state.words_of(step);
            on(&step.node, &format!("{doing}: trying again, attempt {attempt}, as {why}"))
        }
        RunEvent::Noted { node, text } => at(node.as_ref().map_or("", NodeName::as_str), text),
        RunEvent::Interrupted => at("", summary::INTERRUPTED),
        RunEvent::Dispatched { .. } => String::new(),
        RunEvent::Finished { outcome, account } => summary::text(state, outcome, account),
    }
}

fn width(state: &RunState) -> usize {
    state.nodes.iter().map(|(node, _)| node.as_str().len()).max().unwrap_or_default()
}

/// The agent's own stretches are short and said by their result, as are first looks at what may be
/// there already, which have no text; the others are worth a line.
fn told(state: &RunState, step: &StepId, event: &Event) -> Option<String> {
    match event {
        Event::Activity(activity)
            if activity.kind != ActivityKind::Own && !activity.text.is_empty() =>
        {
            let doing = state.doing(&step.node)?;
            Some(format!("{} ({})", doing.doing, activity.text))
        }
        Event::Ended { finding, failure: _ } if finding.is_satisfied() => {
            let ended = state.ended.iter().rev().find(|ended| ended.step == *step)?;
            Some(format!("{}, {}", ended.done, duration(ended.took_ms)))
        }
        Event::Started { .. } | Event::Activity(_) | Event::Output { .. } | Event::Ended { .. } => {
            None
        }
    }
}

fn failure(state: &RunState, step: &StepId, event: &Event) -> Option<(String, String)> {
    let Event::Ended { finding, .. } = event else { return None };
    let failed = state.failed.iter().rev().find(|failed| failed.step == *step)?;
    let head = format!("FAILED: {} (step {step})", failed.doing);
    (!finding.is_satisfied()).then(|| (head, summary::failed(failed)))
}
