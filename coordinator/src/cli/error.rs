//! Errors as a person meets them, and the exit codes of `quorate`.

use std::error::Error;

use quorate_proto::causes;

use crate::site::SiteError;

/// How a command ended. The codes are part of the interface: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for holds, or was shown.
    Holds,
    /// A step failed, or drift was found.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The specification makes no sense.
    Spec,
    /// What is left must not be begun.
    Blocked,
    /// Another run gives the orders.
    Superseded,
    /// quorate itself is at fault.
    Bug,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Spec => 3,
            Self::Blocked => 4,
            Self::Superseded => 5,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command could not do its work. Printed once, by `main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    pub exit: Exit,
    /// From the attempt to its innermost cause.
    causes: Vec<String>,
    /// Several things that stand each for itself.
    reasons: Vec<String>,
    /// What to do next; never empty when it reaches `main`.
    hints: Vec<String>,
}

impl CliError {
    /// An error with all its sources.
    pub fn new(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        Self { exit, causes: causes(error), reasons: Vec::new(), hints: Vec::new() }
    }

    /// An error of one sentence.
    pub fn message(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, causes: vec![message.into()], reasons: Vec::new(), hints: Vec::new() }
    }

    /// Adds a cause that is no `Error`.
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds things that each stand in the way.
    pub fn reasons(mut self, reasons: impl IntoIterator<Item = String>) -> Self {
        self.reasons.extend(reasons);
        self
    }

    /// Adds what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The whole error, one cause a line, hints last.
    pub fn text(&self) -> String {
        let lead = |depth| if depth == 0 { "error: " } else { "  because " };
        // Libraries repeat themselves: a cause that the one before it says as well tells nothing new.
        let befores = std::iter::once("").chain(self.causes.iter().map(String::as_str));
        let fresh =
            |(cause, before): &(&String, &str)| before.is_empty() || !cause.ends_with(before);
        let causes = self.causes.iter().zip(befores).filter(fresh).map(|(cause, _)| cause);
        let causes = causes.enumerate();
        let causes = causes.map(|(depth, cause)| format!("{}{cause}\n", lead(depth)));
        let reasons = self.reasons.iter().map(|reason| format!("  - {reason}\n"));
        let hints = self.hints.iter().map(|hint| format!("hint: {hint}\n"));
        causes.chain(reasons).chain(hints).collect()
    }
}

/// What is wrong with a state folder.
impl From<SiteError> for CliError {
    fn from(error: SiteError) -> Self {
        let (exit, advice) = match &error {
            SiteError::Ttl(_) | SiteError::OperatorLifetime(_) => (Exit::Usage, None),
            SiteError::Store(error) => (Exit::Failed, Some(error.advice())),
            SiteError::Exists { .. }
            | SiteError::Missing { .. }
            | SiteError::Exposed { .. }
            | SiteError::Damaged { .. }
            | SiteError::Older { .. }
            | SiteError::Incomplete { .. }
            | SiteError::NoRootKeys { .. }
            | SiteError::KeysExist { .. }
            | SiteError::NoCredentials { .. }
            | SiteError::NotCredentials { .. }
            | SiteError::Ended { .. }
            | SiteError::Io { .. }
            | SiteError::Trust(_)
            | SiteError::Bundle(_)
            | SiteError::Listen { .. }
            | SiteError::Serve(_) => (Exit::Failed, None),
        };
        let untouched = "no node was asked for anything, and nothing was changed";
        advice.into_iter().fold(Self::new(exit, &error), Self::hint).hint(untouched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("reading cluster.yaml")]
    struct Reading(#[source] std::io::Error);

    #[test]
    fn a_cause_that_only_repeats_the_one_before_is_left_out() {
        let error = CliError::message(Exit::Failed, "opening it").because("not a database");
        let text = error.because("error 26: not a database").text();
        assert_eq!(text, "error: opening it\n  because not a database\n");
    }

    #[test]
    fn an_error_tells_its_causes_and_what_to_do() {
        let error = Reading(std::io::Error::other("no such file"));
        let error = CliError::new(Exit::Spec, &error).hint("name the file with -f");
        let text =
            "error: reading cluster.yaml\n  because no such file\nhint: name the file with -f\n";
        assert_eq!((error.text().as_str(), error.exit.code()), (text, 3));
    }
}
