//! What strangers make a service log: a few lines a minute and a count, so that nobody can fill a
//! disk by knocking.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
const LINES: u32 = 30;

/// The lines of the present minute.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Complaints {
    /// Logs a warning, unless there were many within this minute. The first of the next one tells
    /// how many were left out.
    pub fn warn(&self, line: &dyn Display) {
        let left_out = self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        match left_out {
            Some(0) => tracing::warn!("{line}"),
            Some(left_out) => tracing::warn!(left_out, "{line}"),
            None => {}
        }
    }
}

impl Minute {
    /// Whether one more line may be written, and how many were left out before it.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let mut left_out = 0;
        if self.began.is_none_or(|began| now.duration_since(began) >= MINUTE) {
            left_out = self.left_out;
            *self = Self { began: Some(now), ..Self::default() };
        }
        self.lines += 1;
        if self.lines > LINES {
            self.lines = LINES;
            self.left_out += 1;
            return None;
        }
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_so_many_lines_and_the_next_tells_of_the_rest() {
        let (mut minute, began) = (Minute::default(), Instant::now());
        let admitted = (0..1_000).filter_map(|_| minute.admit(began)).collect::<Vec<_>>();
        assert_eq!(admitted, [0; 30]);
        assert_eq!(minute.admit(began + MINUTE), Some(970));
        assert_eq!(minute.admit(began + MINUTE), Some(0));
    }
}
