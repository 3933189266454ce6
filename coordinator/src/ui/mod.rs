//! What people and programs see. Nothing else in quorate prints.
//!
//! A run is shown by one of three views of the same events: `plain`, `live` and `json`. Results go to
//! standard output, errors and warnings to standard error.

pub mod audit_text;
pub mod drift_text;
pub mod json;
mod live;
pub mod nodes_text;
pub(crate) mod plain;
pub mod plan_text;
pub mod runs_text;
pub mod status_text;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod trust_text;

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use jiff::Timestamp;

use crate::run::View;
use crate::spec::plural;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Output {
    /// `live` on a terminal, `plain` elsewhere.
    #[default]
    Auto,
    /// One line a node, redrawn as things happen.
    Live,
    /// One line an event.
    Plain,
    /// One JSON object a line: {"seq", "`at_ms`", "event"}.
    Json,
}

impl Output {
    /// The view to use. Where there is no terminal, `live` falls back to `plain`.
    pub fn view(self, timings: bool) -> Box<dyn View> {
        let terminal = io::stdout().is_terminal();
        match self {
            Self::Json => Box::new(json::Json),
            Self::Auto | Self::Live if terminal => Box::new(live::Live::new(timings)),
            Self::Auto | Self::Live | Self::Plain => Box::new(plain::Plain { timings }),
        }
    }
}

/// Prints a result, text that ends with its own line break.
///
/// A reader that went away, such as `head`, is no error of ours.
pub fn print(text: &str) {
    io::Write::write_all(&mut io::stdout().lock(), text.as_bytes()).ok();
}

/// Prints a warning or an error.
pub fn complain(text: &str) {
    io::Write::write_all(&mut io::stderr().lock(), text.as_bytes()).ok();
}

/// From now on warnings of what is served go to standard error as well, each with its time.
pub fn log_warnings() {
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_target(false);
    // Whoever set up a log before is right to keep it.
    log.with_writer(|| quorate_proto::redact::Log(io::stderr())).with_ansi(false).try_init().ok();
}

/// Whether what goes to standard error may be coloured (<https://no-color.org>).
pub fn colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

/// Adds a line to a text.
fn line(text: &mut String, line: fmt::Arguments<'_>) {
    // A String takes every write.
    writeln!(text, "{line}").ok();
}

/// How wide each column of a table has to be.
fn widths<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    widths
}

/// A stretch of time to the tenth of a second.
fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A stretch of time as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(ms: u64) -> String {
    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match ms {
        0..10_000 => seconds(ms),
        10_000..MINUTE => format!("{} s", ms / 1000),
        MINUTE..HOUR => format!("{} min {} s", ms / MINUTE, ms / 1000 % 60),
        HOUR..DAY => format!("{} h {} min", ms / HOUR, ms % HOUR / MINUTE),
        DAY.. => format!("{} d {} h", ms / DAY, ms % DAY / HOUR),
    }
}

/// A moment, in milliseconds since 1970, as the wall clock of UTC has it.
fn utc(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
