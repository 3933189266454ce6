//! A run on a terminal: one line a node, redrawn as things happen; failures scroll by above.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use quorate_proto::{Event, NodeName};

use super::{duration, plain, summary};
use crate::run::{NodeState, RunEvent, RunState, Stamped, View};

/// Draws with indicatif, which follows the terminal's size.
pub(super) struct Live {
    lines: MultiProgress,
    head: ProgressBar,
    rows: Vec<ProgressBar>,
    timings: bool,
}

impl Live {
    /// Draws nothing until the first event.
    pub(super) fn new(timings: bool) -> Self {
        let lines = MultiProgress::new();
        let head = lines.add(bar());
        Self { lines, head, rows: Vec::new(), timings }
    }

    fn draw(&mut self, state: &RunState, at_ms: u64) {
        while self.rows.len() < state.nodes.len() {
            self.rows.push(self.lines.add(bar()));
        }
        self.head.set_message(head(state, at_ms));
        let width = state.nodes.iter().map(|(node, _)| node.as_str().len()).max().unwrap_or(0);
        for (bar, (name, node)) in self.rows.iter().zip(&state.nodes) {
            bar.set_message(format!("{name:<width$}  {}", row(state, name, node, at_ms)));
        }
    }

    fn above(&self, text: &str) {
        for line in text.lines() {
            // The terminal went away: nobody is there to read.
            self.lines.println(line).ok();
        }
    }
}

impl View for Live {
    fn show(&mut self, state: &RunState, stamped: &Stamped) {
        match &stamped.event {
            RunEvent::Told { event: Event::Ended { finding, .. }, .. } => {
                if !finding.is_satisfied() {
                    self.above(&plain::lines(state, stamped));
                }
            }
            RunEvent::Finished { outcome, account } => {
                self.draw(state, stamped.at_ms);
                self.close();
                super::print(&summary::text(state, outcome, account));
                if self.timings {
                    super::print(&summary::timings(state));
                }
                return;
            }
            RunEvent::Began { .. }
            | RunEvent::Missed { .. }
            | RunEvent::Followed { .. }
            | RunEvent::NotTaken { .. }
            | RunEvent::Freed { .. }
            | RunEvent::Broken { .. }
            | RunEvent::Lost { .. }
            | RunEvent::Overdue { .. }
            | RunEvent::Retrying { .. }
            | RunEvent::Noted { .. }
            | RunEvent::Interrupted => self.above(&plain::lines(state, stamped)),
            RunEvent::Planned { .. } | RunEvent::Dispatched { .. } | RunEvent::Told { .. } => {}
        }
        self.draw(state, stamped.at_ms);
    }

    fn tick(&mut self, state: &RunState, at_ms: u64) {
        self.draw(state, at_ms);
    }

    fn close(&mut self) {
        for bar in self.rows.iter().chain([&self.head]) {
            if !bar.is_finished() {
                bar.abandon();
            }
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // `wide_msg` cuts a line to the terminal's width instead of wrapping it.
    bar.set_style(
        ProgressStyle::with_template("{wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    // The driver tells when time went by: no thread of indicatif's own.
    bar.disable_steady_tick();
    bar
}

fn head(state: &RunState, at_ms: u64) -> String {
    let all = state.done + state.left.len();
    let end = if state.interrupted { ", interrupted" } else { "" };
    format!("cluster {}: {} of {all} steps, {}{end}", state.cluster, state.done, duration(at_ms))
}

/// What is to be said of a node now.
pub(super) fn row(state: &RunState, name: &NodeName, node: &NodeState, at_ms: u64) -> String {
    if let Some(why) = &node.silent {
        return format!("does not answer: {why}");
    }
    if let Some(doing) = &node.doing {
        let elapsed = Duration::from_millis(at_ms.saturating_sub(doing.since_ms)).as_secs();
        let said = doing.activity.as_ref().filter(|activity| !activity.text.is_empty());
        let activity = said.map(|activity| format!(" ({})", activity.text));
        let slow = if doing.overdue { ", longer than expected" } else { "" };
        return format!("{}{}, {elapsed} s{slow}", doing.doing, activity.unwrap_or_default());
    }
    if let Some(failed) = state.failed.iter().find(|failed| failed.step.node == *name) {
        return format!("FAILED: {}", failed.doing);
    }
    if let Some(noted) = &node.noted {
        return noted.clone();
    }
    match state.waits_for(name) {
        Some(text) => text,
        None if state.rounds == 0 => "being looked at".to_owned(),
        None => "done".to_owned(),
    }
}
