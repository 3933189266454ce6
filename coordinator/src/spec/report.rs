//! Collects what the checks of one file find: problems, and the defaults that were taken.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use super::problem::{Problem, Says, Severity, Source};
use super::tree::Tree;

/// What is known of one file so far.
pub(super) struct Report {
    source: Arc<Source>,
    tree: Tree,
    pub(super) problems: Vec<Problem>,
    /// Paths of fields that the file leaves out, and the values they have therefore.
    pub(super) defaults: Vec<(String, String)>,
}

impl Report {
    pub(super) fn new(source: Arc<Source>, tree: Tree) -> Self {
        Self { source, tree, problems: Vec::new(), defaults: Vec::new() }
    }

    /// Reports what makes the specification unusable.
    pub(super) fn error(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Error, path, message.into(), hint.into());
    }

    /// Reports what makes the specification unusable, at a place that has no value of its own.
    pub(super) fn error_at(
        &mut self,
        span: Range<usize>,
        path: &str,
        message: String,
        hint: String,
    ) {
        let says = Says { span, message, hint };
        self.problems.push(Problem::new(&self.source, Severity::Error, path, says));
    }

    /// Reports what has a price.
    pub(super) fn warn(&mut self, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, path, message.into(), hint.into());
    }

    /// The value given, or else the default, which is noted.
    pub(super) fn or<T: Display>(&mut self, path: &str, given: Option<T>, default: T) -> T {
        given.unwrap_or_else(|| {
            self.defaults.push((path.to_owned(), default.to_string()));
            default
        })
    }

    /// The value, or a report of why it is none.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        path: &str,
        value: Result<T, E>,
        hint: &str,
    ) -> Option<T> {
        value.map_err(|why| self.error(path, why.to_string(), hint)).ok()
    }

    /// Whether anything makes the specification unusable.
    pub(super) fn failed(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    fn add(&mut self, severity: Severity, path: &str, message: String, hint: String) {
        let says = Says { span: self.tree.locate(path), message, hint };
        self.problems.push(Problem::new(&self.source, severity, path, says));
    }
}
