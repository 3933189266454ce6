//! Past runs as people ask for them: what became of one, how many steps it did, and which one an
//! abbreviated id names.

use quorate_proto::RunId;
use serde::Serialize;

use super::RunState;
use crate::store::{StoredEvent, StoredRun};

/// Shown of an id at least. A `UUIDv7` begins with its time: these change about once a minute.
const LEAST: usize = 8;

/// A stored run and what its events add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    pub stored: StoredRun,
    pub state: RunState,
    pub fate: Fate,
}

/// Whether a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fate {
    Ended,
    /// Its process holds the lock of the state folder.
    Running {
        pid: u32,
    },
    /// Its process was killed, its machine went down, or its store took no more.
    CutOff,
}

impl PastRun {
    /// Adds the events up; those of another version count for nothing.
    pub fn of(stored: StoredRun, events: &[StoredEvent], running: Option<u32>) -> Self {
        let mut state = RunState::default();
        for stamped in events.iter().filter_map(StoredEvent::read) {
            state.fold(&stamped);
        }
        let fate = match (stored.ended_ms, running) {
            (Some(_), _) => Fate::Ended,
            (None, Some(pid)) => Fate::Running { pid },
            (None, None) => Fate::CutOff,
        };
        Self { stored, state, fate }
    }

    /// How long it took, as far as is known; `now_ms` since 1970.
    pub fn took_ms(&self, now_ms: u64) -> u64 {
        match self.fate {
            // A clock that was set back must not make it shorter than its events are.
            Fate::Running { .. } => {
                now_ms.saturating_sub(self.stored.started_ms).max(self.state.at_ms)
            }
            Fate::Ended | Fate::CutOff => self.state.at_ms,
        }
    }
}

/// Why an abbreviation names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchRun {
    #[error("no run is kept whose id begins with {0:?}")]
    Unknown(String),
    #[error("{given:?} is how {} ids of runs begin: {}", among.len(), among.join(", "))]
    Ambiguous { given: String, among: Vec<String> },
}

/// The run whose id begins so, however it is capitalised.
pub fn find<'a>(runs: &'a [StoredRun], given: &str) -> Result<&'a StoredRun, NoSuchRun> {
    let wanted = given.trim().to_lowercase();
    let matching: Vec<&StoredRun> =
        runs.iter().filter(|run| run.id.0.starts_with(&wanted)).collect();
    match matching.as_slice() {
        [] => Err(NoSuchRun::Unknown(given.to_owned())),
        [run] => Ok(run),
        several => {
            let whole = several.iter().find(|run| run.id.0 == wanted);
            whole.copied().ok_or_else(|| {
                let width = width(runs);
                let among = several.iter().take(5).map(|run| short(&run.id, width).to_owned());
                NoSuchRun::Ambiguous { given: given.to_owned(), among: among.collect() }
            })
        }
    }
}

/// How much of an id tells it from the ids of all other runs.
pub fn width(runs: &[StoredRun]) -> usize {
    let mut ids: Vec<&str> = runs.iter().map(|run| run.id.0.as_str()).collect();
    ids.sort_unstable();
    let common = |(one, other): (&&str, &&str)| {
        one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count()
    };
    let longest = ids.iter().zip(ids.iter().skip(1)).map(common).max();
    longest.map_or(LEAST, |common| LEAST.max(common + 1))
}

/// The beginning of an id.
pub fn short(id: &RunId, width: usize) -> &str {
    id.0.get(..width).unwrap_or(&id.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Outcome, RunEvent, Stamped};

    fn run(id: &str) -> StoredRun {
        let (id, spec_sha256) = (RunId(id.to_owned()), String::new());
        StoredRun { id, term: 1, spec_sha256, started_ms: 1_000, ended_ms: None, outcome: None }
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_names_one_run() {
        let runs = [run("0197a3c2-5d1e-aa"), run("0197a3c2-5d1f-bb"), run("0197b000-0000-cc")];
        assert_eq!(width(&runs), 13);
        assert_eq!(width(&runs[1..]), 8);
        assert_eq!(width(&[]), 8);
        assert_eq!(find(&runs, "0197B"), Ok(&runs[2]));
        assert_eq!(find(&runs, "0197a3c2-5d1e"), Ok(&runs[0]));
        assert_eq!(find(&runs, "f"), Err(NoSuchRun::Unknown("f".to_owned())));
        let text = find(&runs, "0197a").unwrap_err().to_string();
        assert_eq!(text, "\"0197a\" is how 2 ids of runs begin: 0197a3c2-5d1e, 0197a3c2-5d1f");
        let within = [run("ab"), run("abc")];
        assert_eq!(find(&within, "ab"), Ok(&within[0]), "a whole id names its run");
    }

    #[test]
    fn a_run_without_an_end_still_runs_or_was_cut_off() {
        let event = Stamped { seq: 1, at_ms: 400, event: RunEvent::Interrupted };
        let json = serde_json::to_string(&event.event).unwrap();
        let events = [
            StoredEvent { seq: 1, at_ms: 400, json },
            StoredEvent { seq: 2, at_ms: 900, json: "{\"kind\":\"of the future\"}".to_owned() },
        ];
        let cut_off = PastRun::of(run("a"), &events, None);
        assert_eq!((cut_off.fate, cut_off.took_ms(9_000)), (Fate::CutOff, 400));
        let running = PastRun::of(run("a"), &events, Some(7));
        assert_eq!((running.fate, running.took_ms(9_000)), (Fate::Running { pid: 7 }, 8_000));
        assert_eq!(running.took_ms(500), 400, "the clock was set back");
        let stored = StoredRun { ended_ms: Some(5_000), outcome: Some(Outcome::Holds), ..run("a") };
        assert_eq!(PastRun::of(stored, &events, Some(7)).fate, Fate::Ended);
    }
}
