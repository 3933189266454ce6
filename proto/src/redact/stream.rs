//! Output as it comes, in chunks that end anywhere, to lines that are fit to be shown.

use super::{Lines, Redactor, Scan, forms};
use crate::plain::plain;

/// Longer lines are cut into several: a program without line ends fills no memory.
pub const LONGEST_LINE: usize = 16 << 10;
/// Ends a line that was cut.
pub(super) const CUT: &str = "…";
/// A secret may begin right before a cut: so much of what follows is looked at as well.
const AHEAD: usize = 2 * forms::LONGEST;
/// Of the line's text; leaves room for the mark, and for what stands for a secret.
const PIECE: usize = LONGEST_LINE - 32;

/// Takes what a program prints.
#[derive(Debug, Default)]
pub struct Stream {
    lines: Lines,
    /// Of the line that is not finished: at most a piece and what must be seen ahead of it.
    pub(super) unfinished: Vec<u8>,
    /// The line goes on where a piece of it was cut off.
    continued: bool,
    /// All that is left of this line is secret.
    hidden: bool,
    /// The next byte writes over the line, as progress bars do.
    returned: bool,
}

impl Stream {
    /// Nothing was printed yet.
    pub fn new(redactor: Redactor) -> Self {
        Self { lines: Lines::new(redactor), ..Self::default() }
    }

    /// The lines that this chunk finishes.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in chunk {
            match byte {
                b'\n' => self.end_line(&mut lines),
                b'\r' => self.returned = true,
                // Holes in files read as zeros; none of these is ever shown.
                0..=8 | 11 | 12 | 14..=26 | 28..=31 => {}
                _ if self.hidden => {}
                _ => {
                    if std::mem::take(&mut self.returned) {
                        self.unfinished.clear();
                    }
                    self.unfinished.push(byte);
                    if self.unfinished.len() >= PIECE + AHEAD {
                        self.cut(&mut lines, true);
                    }
                }
            }
        }
        lines
    }

    /// The last line, if it has no end.
    pub fn finish(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.unfinished.is_empty() {
            self.end_line(&mut lines);
        }
        lines
    }

    fn end_line(&mut self, lines: &mut Vec<String>) {
        self.returned = false;
        if self.unfinished.len() > PIECE {
            self.cut(lines, false);
        }
        let bytes = std::mem::take(&mut self.unfinished);
        let line = self.lines.line(&String::from_utf8_lossy(&bytes));
        self.hidden = false;
        // What followed the last piece may have been secret to its end.
        if !std::mem::take(&mut self.continued) || !line.is_empty() {
            lines.push(line);
        }
    }

    /// Cuts pieces off a line that is too long, never through a secret.
    fn cut(&mut self, lines: &mut Vec<String>, goes_on: bool) {
        let longest = if goes_on { PIECE + AHEAD - 1 } else { PIECE };
        let bytes = std::mem::take(&mut self.unfinished);
        let mut text = plain(&String::from_utf8_lossy(&bytes)).into_owned();
        while text.len() > longest {
            let until = text.floor_char_boundary(PIECE);
            let scan = self.lines.redactor.scan(&text, self.lines.in_key, goes_on);
            let whole = scan.whole.iter().filter(|whole| whole.contains(&until));
            let until = whole.map(|whole| whole.start).min().unwrap_or(until);
            lines.push(scan.show(&text, until) + CUT);
            self.continued = true;
            let begun = |from: Option<usize>| from.is_some_and(|from| from < until);
            self.lines.in_key = begun(scan.key_from);
            self.hidden = begun(scan.rest_from);
            if self.hidden || self.lines.in_key {
                // A key's end is looked for in what comes, and is never in what was scanned.
                text = tail(&text);
                break;
            }
            text = text.get(next(&scan, until)..).unwrap_or_default().to_owned();
        }
        if !self.hidden {
            self.unfinished = text.into_bytes();
        }
    }
}

/// Where the next piece begins: after a secret that the cut would go through.
fn next(scan: &Scan, until: usize) -> usize {
    let across = scan.spans.iter().find(|span| span.start < until && span.end > until);
    across.map_or(until, |span| span.end)
}

/// A key's end may have come in part.
fn tail(text: &str) -> String {
    let from = text.ceil_char_boundary(text.len().saturating_sub(forms::LONGEST));
    text.get(from..).unwrap_or_default().to_owned()
}
