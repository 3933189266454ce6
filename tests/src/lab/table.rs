//! The table of a crash matrix: what was done, what came of it, how long the cluster stood still.

use std::fmt;
use std::time::Duration;

/// A writer through the endpoint may be held up for no longer.
const LONGEST_GAP: Duration = Duration::from_secs(15);

/// One point of the matrix.
#[derive(Debug, Clone)]
pub struct Row {
    pub fault: String,
    pub moment: String,
    /// Exit codes of the runs from the fault on; `None` is a run that was killed.
    pub codes: Vec<Option<i32>>,
    /// Longest time between two writes through the endpoint; `None` before it existed.
    pub writes: Option<Duration>,
    /// Longest time without a quorum of etcd, watched twice a second.
    pub quorum: Option<Duration>,
    /// Why it did not pass.
    pub failed: Option<String>,
}

impl Row {
    /// A point that was not reached yet.
    pub fn new(fault: impl fmt::Display, moment: impl fmt::Display) -> Self {
        Self {
            fault: fault.to_string(),
            moment: moment.to_string(),
            codes: Vec::new(),
            writes: None,
            quorum: None,
            failed: None,
        }
    }

    /// Whether the point holds.
    pub fn passed(&self) -> bool {
        self.shortcoming().is_none()
    }

    fn shortcoming(&self) -> Option<String> {
        let gap = self.writes.filter(|gap| *gap > LONGEST_GAP);
        let gap = gap.map(|gap| format!("no write for {}", seconds(Some(gap))));
        self.failed.clone().or(gap)
    }
}

/// All points, in the order in which they were played.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    /// Points that do not hold.
    pub fn failed(&self) -> usize {
        self.rows.iter().filter(|row| !row.passed()).count()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | at | runs | longest write gap | without quorum | outcome |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let codes: Vec<_> = row.codes.iter().map(|code| exit(*code)).collect();
            let outcome = row.shortcoming();
            writeln!(
                f,
                "| {} | {} | {} | {} | {} | {} |",
                row.fault,
                row.moment,
                runs(&codes),
                seconds(row.writes),
                seconds(row.quorum),
                outcome.map_or_else(|| "complete".to_owned(), |why| format!("**{why}**")),
            )?;
        }
        let failed = self.failed();
        write!(f, "\n{} passed, {failed} failed", self.rows.len() - failed)
    }
}

/// A run that bore the fault is not told of; many killed runs in a row are told by their number.
fn runs(codes: &[String]) -> String {
    if codes.is_empty() {
        return "goes on".to_owned();
    }
    let killed = codes.iter().take_while(|code| *code == "killed").count();
    let (first, rest) = codes.split_at(killed);
    let first = match first.len() {
        0 | 1 => first.to_vec(),
        many => vec![format!("killed {many} times")],
    };
    [first.as_slice(), rest].concat().join(", ")
}

fn exit(code: Option<i32>) -> String {
    code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"))
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}
