//! What is wrong with a file, where, and what to do about it; and how people see that.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A text and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The specification cannot be used.
    Error,
    /// It can, at a price that the message names.
    Warning,
}

/// One thing that is wrong with a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, such as `spec.nodes[2].address`; empty: the file as a whole.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub message: String,
    /// What to do about it.
    pub hint: String,
    pub severity: Severity,
    source: Arc<Source>,
    span: Range<usize>,
}

impl Problem {
    pub(super) fn new(source: &Arc<Source>, severity: Severity, path: &str, says: Says) -> Self {
        let before = source.text.get(..says.span.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            message: says.message,
            hint: says.hint,
            severity,
            source: Arc::clone(source),
            span: says.span,
        }
    }

    /// The problem with the lines it is in, ready for a terminal; colours only where asked for.
    pub fn render(&self, colours: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let hint = Level::HELP.message(self.hint.as_str());
        let annotation = AnnotationKind::Primary.span(self.span.clone()).label(self.path.as_str());
        let shown = without_passwords(&self.source.text);
        let snippet =
            Snippet::source(shown.as_str()).path(self.source.name.as_str()).annotation(annotation);
        // A file that could not be read has nothing to show.
        let report = if self.source.text.is_empty() {
            [title.element(hint)]
        } else {
            [title.element(snippet).element(hint)]
        };
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&report)
    }
}

/// The text with each password in a URL as so many asterisks, so that no place in it moves.
fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.extend([before, "://"]);
        let end = after.find(|c: char| c.is_whitespace() || "/'\"<>".contains(c));
        let (authority, after) =
            after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""));
        let parts = authority.rsplit_once('@');
        match parts.and_then(|(who, host)| Some((who.split_once(':')?, host))) {
            Some(((user, password), host)) => {
                shown.extend([user, ":", &"*".repeat(password.len()), "@", host]);
            }
            None => shown.push_str(authority),
        }
        rest = after;
    }
    shown + rest
}

/// What a problem says of a place.
pub(super) struct Says {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Everything that is wrong with a specification; at least one problem is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// All problems as a terminal shows them, in the order of the file, with a count at the end.
    pub fn render(&self, colours: bool) -> String {
        let blocks: Vec<_> = self.0.iter().map(|problem| problem.render(colours)).collect();
        format!("{}\n\n{self}\n", blocks.join("\n\n"))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |severity| self.0.iter().filter(|p| p.severity == severity).count();
        write!(f, "{}", plural(count(Severity::Error), "error"))?;
        match count(Severity::Warning) {
            0 => Ok(()),
            warnings => write!(f, ", {}", plural(warnings, "warning")),
        }
    }
}

impl Error for Problems {}

/// `1 error`, `2 errors`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// In the order in which people read the file, and then those that it names.
pub(super) fn sort(problems: &mut [Problem], main: &Source) {
    problems.sort_by_key(|problem| {
        let name = problem.source.name.clone();
        (name != main.name, name, problem.span.start, problem.severity)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_shows_its_line_and_says_what_to_do() {
        let text = "é: 1\nnodes:\n- address: 10.0.0.300\n".to_owned();
        let source = Arc::new(Source { name: "cluster.yaml".to_owned(), text });
        let says = Says {
            span: 24..34,
            message: "10.0.0.300 is not an address".to_owned(),
            hint: "write an IPv4 or IPv6 address".to_owned(),
        };
        let problem = Problem::new(&source, Severity::Error, "nodes[0].address", says);
        assert_eq!((problem.line, problem.column), (3, 12));
        let golden = "\
error: 10.0.0.300 is not an address
 --> cluster.yaml:3:12
  |
3 | - address: 10.0.0.300
  |            ^^^^^^^^^^ nodes[0].address
  |
  = help: write an IPv4 or IPv6 address";
        assert_eq!(problem.render(false), golden);
        assert!(problem.render(true).contains('\u{1b}'));
        let all =
            Problems(vec![problem.clone(), Problem { severity: Severity::Warning, ..problem }]);
        assert!(all.render(false).ends_with("\n\n1 error, 1 warning\n"));
    }
}
