//! What must not be read is hidden where it arises: one filter for output, events, failures, audit and
//! logs, in the agent and in the coordinator.
//!
//! Two ways to know a secret: by value, in every form that programs print one in, and by shape, for
//! those that nobody told us of. Pure; what it costs is linear in the text.

mod forms;
mod shapes;
mod stream;

use std::io;
use std::ops::Range;
use std::sync::Arc;

pub use stream::{LONGEST_LINE, Stream};

use crate::event::{Event, Failure};
use crate::finding::{Drift, Finding};
use crate::plain::plain;
use crate::secret::{JoinMaterial, Secret};

/// What stands where a secret was.
const HIDDEN: &str = "(secret)";

/// The secrets that are looked for. Without any it knows shapes alone.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// In every form, so that a match is a comparison.
    needles: Arc<[Secret]>,
}

impl Redactor {
    /// Hides these values, in every form that [`forms`] knows, and all known shapes.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles: Vec<String> = secrets.into_iter().flat_map(forms::of).collect();
        needles.sort_unstable();
        needles.dedup();
        Self { needles: needles.into_iter().map(Secret::new).collect() }
    }

    /// Hides what a run mints.
    pub fn of(material: &JoinMaterial) -> Self {
        // Without the public half the other half still lets join.
        let half = material.token.expose().split_once('.').map(|(_, half)| half.to_owned());
        let half = Secret::new(half.unwrap_or_default());
        Self::new([&material.token, &half, &material.certificate_key])
    }

    /// A text, of one line or many, fit to be shown.
    pub fn text(&self, text: &str) -> String {
        let mut lines = Lines::new(self.clone());
        text.split('\n').map(|line| lines.line(line)).collect::<Vec<_>>().join("\n")
    }

    /// Lines that belong together.
    pub fn lines(&self, texts: Vec<String>) -> Vec<String> {
        let mut lines = Lines::new(self.clone());
        let clean = |text: String| {
            let clean = text.split('\n').map(|line| lines.line(line)).collect::<Vec<_>>();
            clean.join("\n")
        };
        texts.into_iter().map(clean).collect()
    }

    /// A finding: a drift may quote a file.
    pub fn finding(&self, finding: Finding) -> Finding {
        let clean = |text: String| self.text(&text);
        match finding {
            Finding::Satisfied => Finding::Satisfied,
            Finding::Drifted(drifts) => {
                let drift = |Drift { what, found, wanted, in_use }| Drift {
                    what: clean(what),
                    found: clean(found),
                    wanted: clean(wanted),
                    in_use,
                };
                Finding::Drifted(drifts.into_iter().map(drift).collect())
            }
            Finding::Unknown { why } => Finding::Unknown { why: clean(why) },
            Finding::Refused { why } => Finding::Refused { why: clean(why) },
        }
    }

    /// A failure: most of it is what programs printed.
    pub fn failure(&self, failure: Failure) -> Failure {
        let Failure { causes, output, journal, advice, transient } = failure;
        Failure {
            causes: self.lines(causes),
            output: self.lines(output),
            journal: self.lines(journal),
            advice: advice.map(|advice| self.text(&advice)),
            transient,
        }
    }

    /// Everything in a line that must not be shown.
    fn scan(&self, line: &str, in_key: bool, goes_on: bool) -> Scan {
        let mut scan = Scan::default();
        shapes::find(line, in_key, goes_on, &mut scan);
        for needle in self.needles.iter().map(Secret::expose) {
            // From each match on by one, as a secret may overlap itself.
            let mut from = 0;
            while let Some(at) = line.get(from..).and_then(|rest| rest.find(needle)) {
                scan.spans.push(from + at..from + at + needle.len());
                from += at + needle.chars().next().map_or(1, char::len_utf8);
            }
        }
        scan.spans.sort_unstable_by_key(|span| span.start);
        // Joined where they touch: of two secrets that overlap, no tail is left.
        scan.spans =
            scan.spans.into_iter().fold(Vec::new(), |mut joined: Vec<Range<usize>>, span| {
                match joined.last_mut() {
                    Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                    _ => joined.push(span),
                }
                joined
            });
        scan
    }
}

/// What is to be hidden in a line, and what goes on beyond it.
#[derive(Debug, Default)]
struct Scan {
    /// In order and apart from each other.
    spans: Vec<Range<usize>>,
    /// What says that a secret follows, and its first byte: parted, neither would be known.
    whole: Vec<Range<usize>>,
    /// From here on the rest of the line is hidden, however long it is.
    rest_from: Option<usize>,
    /// A private key begins here, and does not end in this text.
    key_from: Option<usize>,
}

impl Scan {
    /// The first `until` bytes of the line, without what is hidden.
    fn show(&self, line: &str, until: usize) -> String {
        let mut shown = String::with_capacity(until);
        let mut from = 0;
        for span in self.spans.iter().take_while(|span| span.start < until) {
            shown.push_str(line.get(from..span.start).unwrap_or_default());
            shown.push_str(HIDDEN);
            from = span.end;
        }
        shown.push_str(line.get(from..until).unwrap_or_default());
        shown
    }
}

/// Lines one after the other, of which a private key may take many.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    redactor: Redactor,
    in_key: bool,
}

impl Lines {
    /// No line was seen yet.
    pub fn new(redactor: Redactor) -> Self {
        Self { redactor, in_key: false }
    }

    /// A line fit to be shown: without secrets, without what moves a cursor, and not too long.
    pub fn line(&mut self, line: &str) -> String {
        let line = plain(line);
        let scan = self.redactor.scan(&line, self.in_key, false);
        self.in_key = scan.key_from.is_some();
        let shown = scan.show(&line, line.len());
        if shown.len() <= LONGEST_LINE {
            return shown;
        }
        let end = shown.floor_char_boundary(LONGEST_LINE - stream::CUT.len());
        shown.get(..end).unwrap_or_default().to_owned() + stream::CUT
    }

    /// An event of the same operation.
    pub fn event(&mut self, event: Event) -> Event {
        match event {
            Event::Output { line } => Event::Output { line: self.line(&line) },
            Event::Activity(mut activity) => {
                activity.text = self.redactor.text(&activity.text);
                Event::Activity(activity)
            }
            Event::Ended { finding, failure } => Event::Ended {
                finding: self.redactor.finding(finding),
                failure: failure.map(|failure| self.redactor.failure(failure)),
            },
            Event::Started { .. } => event,
        }
    }
}

/// Where a log's lines go. Each comes whole, in one write.
#[derive(Debug)]
pub struct Log<W>(pub W);

impl<W: io::Write> io::Write for Log<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = Redactor::default().text(&String::from_utf8_lossy(line));
        self.0.write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests;
