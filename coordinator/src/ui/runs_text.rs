//! `quorate runs` as text: the table of past runs, and one of them again as it was shown.

use super::{duration, line, plain, plural, utc, widths};
use crate::run::{Fate, Outcome, PastRun, RunState, short};
use crate::store::StoredEvent;

/// One line a run. `older` are not shown.
pub fn table(runs: &[PastRun], width: usize, older: usize, now_ms: u64) -> String {
    if runs.is_empty() {
        return "no run yet: `quorate apply` makes the first\n".to_owned();
    }
    let head = ["RUN", "STARTED (UTC)", "TOOK", "TERM", "DONE", "FAILED", "OUTCOME"];
    let rows = runs.iter().map(|run| {
        [
            short(&run.stored.id, width).to_owned(),
            utc(run.stored.started_ms),
            took(run, now_ms),
            run.stored.term.to_string(),
            run.state.done.to_string(),
            run.state.failed.len().to_string(),
            outcome(run, width),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let [run, started, took, term, done, failed, _] = widths(&rows);
    let mut text = String::new();
    for [a, b, c, d, e, f, g] in &rows {
        line(
            &mut text,
            format_args!(
                "{a:<run$}  {b:<started$}  {c:>took$}  {d:>term$}  {e:>done$}  {f:>failed$}  {g}"
            ),
        );
    }
    if older > 0 {
        line(&mut text, format_args!("and {}: see `--limit`", plural(older, "older run")));
    }
    text
}

fn took(run: &PastRun, now_ms: u64) -> String {
    // Of one that was cut off, its last event is all that is known.
    let least = if run.fate == Fate::CutOff { ">" } else { "" };
    format!("{least}{}", duration(run.took_ms(now_ms)))
}

fn outcome(run: &PastRun, width: usize) -> String {
    match (&run.fate, &run.stored.outcome) {
        (Fate::Running { pid }, _) => format!("runs (process {pid})"),
        (Fate::CutOff, _) => "cut off".to_owned(),
        (Fate::Ended, Some(Outcome::Holds)) => run.state.title.done.clone(),
        (Fate::Ended, Some(Outcome::Failed { left })) => {
            format!("{} left", plural(left.len(), "step"))
        }
        (Fate::Ended, Some(Outcome::Blocked { .. })) => "blocked".to_owned(),
        (Fate::Ended, Some(Outcome::Superseded { by, .. })) => {
            format!("taken over by {}", short(&by.run, width))
        }
        (Fate::Ended, Some(Outcome::Interrupted { left, .. })) => {
            format!("Ctrl-C, {left} left")
        }
        (Fate::Ended, None) => "ended, not known how".to_owned(),
    }
}

/// The events of a run as lines, to the letter as the plain view printed them.
pub fn replay(events: &[StoredEvent], timings: bool) -> String {
    let (mut state, mut text) = (RunState::default(), String::new());
    for event in events {
        if let Some(stamped) = event.read() {
            state.fold(&stamped);
            text += &plain::text(&state, &stamped, timings);
        } else {
            text += &plain::unknown(&state, event);
        }
    }
    text
}
