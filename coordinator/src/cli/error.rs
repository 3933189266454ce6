//! Errors as a person meets them, and the exit codes of `quorate`.

use std::error::Error;

use quorate_proto::causes;

use crate::driver::{DriveError, LockError, LockHolder, now_ms};
use crate::run::Outcome;
use crate::session::SessionError;
use crate::site::SiteError;
use crate::ui;

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
    /// How a run ended.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Holds => Self::Holds,
            Outcome::Failed { .. } => Self::Failed,
            Outcome::Blocked { .. } => Self::Blocked,
            Outcome::Superseded { .. } => Self::Superseded,
            Outcome::Interrupted { .. } => Self::Interrupted,
        }
    }

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

/// What is wrong with a session.
impl From<SessionError> for CliError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Site(error) => error.into(),
            SessionError::Role { ref name, least, .. } => {
                Self::new(Exit::Failed, &error).hint(format!(
                    "nobody was asked for anything; whoever has the site's state folder gives the role: \
                     `quorate operator issue {name} --role {least} --out FILE`"
                ))
            }
            SessionError::Lock(error) => error.into(),
            SessionError::Blocked(ref reasons) => Self::new(Exit::Blocked, &error)
                .reasons(reasons.iter().cloned())
                .hint("see to the above, then run the same command again"),
            SessionError::Drive(error) => error.into(),
        }
    }
}

/// Why a run may not begin.
impl From<LockError> for CliError {
    fn from(error: LockError) -> Self {
        let LockError::Held(holder) = &error else {
            return Self::new(Exit::Failed, &error)
                .hint("see that the state folder can be written by you");
        };
        let began = holder.as_ref().map(|LockHolder { pid, run, since_ms }| {
            let ago = ui::duration(now_ms().saturating_sub(*since_ms));
            format!("run {run}, process {pid}, began {ago} ago")
        });
        let stop = holder.as_ref().map_or_else(
            || "stop it with Ctrl-C".to_owned(),
            |holder| format!("stop it with Ctrl-C or `kill -INT {}`", holder.pid),
        );
        Self::message(Exit::Blocked, error.to_string())
            .because(began.unwrap_or_else(|| "it has just begun".to_owned()))
            .hint("nothing was changed; `quorate status` shows how far that run is")
            .hint(format!("wait for its end, or {stop} and run `quorate apply` again"))
    }
}

/// Why a run could not go on.
impl From<DriveError> for CliError {
    fn from(error: DriveError) -> Self {
        let (exit, first) = match &error {
            DriveError::Store(error) => (Exit::Failed, error.advice()),
            DriveError::Random(_) => (Exit::Failed, "see that /dev/urandom can be read"),
            DriveError::OutOfReach { .. } => (
                Exit::Blocked,
                "no run counts so far, so someone gave it a false term: on the node, see that nothing is \
                 under way, stop quorate-executor.socket and quorate-executor.service, move \
                 /var/lib/quorate-executor/ledger.json away, and start the socket again",
            ),
        };
        Self::new(exit, &error).hint(first).hint(
            "then run the same command again: no further order was sent, what runs at the nodes goes \
             on there, and that run follows it",
        )
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

    #[test]
    fn blocked_plan_lists_each_reason() {
        let reasons = vec!["cp-1: this".to_owned(), "cp-2: that".to_owned()];
        let error = CliError::from(SessionError::Blocked(reasons));
        assert_eq!(error.exit.code(), 4);
        let text = "\
error: this must not be begun now; nothing was changed
  - cp-1: this
  - cp-2: that
hint: see to the above, then run the same command again
";
        assert_eq!(error.text(), text);
    }
}
