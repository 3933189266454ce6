//! `quorate audit`: what was asked of the nodes and done there, by their own logs, and whether these
//! are whole.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_proto::audit::{Entry, Whole};
use quorate_proto::trust::Right;
use quorate_proto::{AuditHead, NodeName, Sha256};
use tokio::sync::mpsc;

use super::args::{node_name, span};
use super::{CliError, ClusterArgs, Exit};
use crate::driver::now_ms;
use crate::fleet::FleetError;
use crate::session::Session;
use crate::store::StoreError;
use crate::ui::{self, audit_text};

/// Shows what was asked of the nodes and done there, and checks their logs
///
/// Each agent keeps a log in which every line vouches for the one before. Whoever is root on a node can
/// write a new one; what was seen here of the old one then tells.
#[derive(Debug, clap::Args)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    Verify(VerifyArgs),
    Show(ShowArgs),
    Accept(AcceptArgs),
}

/// Checks whether logs are whole, and hold all that was ever seen of them
#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The nodes; all of the specification without any
    #[arg(value_parser = node_name)]
    nodes: Vec<NodeName>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Prints the log of a node
#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The node's name, as in the specification
    #[arg(value_parser = node_name)]
    node: NodeName,
    /// Only what is not older, such as 2h
    #[arg(long, value_name = "TIME", value_parser = back)]
    since: Option<Duration>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Takes the log of a node as it is now, once you know why it is not the one that was seen before
#[derive(Debug, clap::Args)]
struct AcceptArgs {
    /// The node's name, as in the specification
    #[arg(value_parser = node_name)]
    node: NodeName,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl AuditArgs {
    pub(super) async fn run(&self) -> Result<Exit, CliError> {
        match &self.command {
            AuditCommand::Verify(args) => args.run().await,
            AuditCommand::Show(args) => args.run().await,
            AuditCommand::Accept(args) => args.run().await,
        }
    }
}

impl VerifyArgs {
    /// Exit code 0 if every log is whole.
    async fn run(&self) -> Result<Exit, CliError> {
        let session = open(&self.cluster)?;
        let anchors = self.cluster.paths().anchors()?;
        let mut nodes = self.nodes.clone();
        if nodes.is_empty() {
            nodes.extend(session.loaded.spec.nodes.iter().map(|node| node.name.clone()));
        }
        let mut wrong = Vec::new();
        for node in &nodes {
            let kept = anchors.as_ref().map_or(Ok(Vec::new()), |store| store.audit_heads(node));
            let kept = kept.map_err(|error| unreadable(&error))?;
            let count = kept.len();
            match read(&session, node, kept, |_| {}).await {
                Ok(log) => ui::print(&verified(node, &log, count)),
                Err(why) => wrong.push(format!("{node}: {why}")),
            }
        }
        if wrong.is_empty() {
            return Ok(Exit::Holds);
        }
        let error = CliError::message(Exit::Failed, "an audit log could not be verified");
        Err(error.reasons(wrong).hint(
            "find out who changed it, and when: `quorate audit show NODE`, the node's journal, and \
             what was kept of its disk",
        ))
    }
}

impl ShowArgs {
    async fn run(&self) -> Result<Exit, CliError> {
        let session = open(&self.cluster)?;
        let since = u64::try_from(self.since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        let since = self.since.map_or(0, |_| now_ms().saturating_sub(since));
        let shown = read(&session, &self.node, Vec::new(), |line| {
            let entry = serde_json::from_str::<Entry>(line).ok();
            if entry.as_ref().is_none_or(|entry| entry.at_ms >= since) {
                ui::print(&audit_text::line(entry.as_ref(), line));
            }
        });
        match shown.await {
            Ok(_) => Ok(Exit::Holds),
            Err(why) => Err(CliError::message(Exit::Failed, format!("{}: {why}", self.node))),
        }
    }
}

impl AcceptArgs {
    /// The new log must be whole.
    async fn run(&self) -> Result<Exit, CliError> {
        let session = open(&self.cluster)?;
        let mut anchors = self.cluster.paths().history()?;
        let node = &self.node;
        let log = read(&session, node, Vec::new(), |_| {}).await.map_err(|why| {
            CliError::message(Exit::Failed, format!("the log of {node} cannot be accepted: {why}"))
        })?;
        anchors.accept_audit_head(node, &log.head).map_err(|error| unreadable(&error))?;
        ui::print(&format!("{node}: its log of {} lines is the one from now on\n", log.head.seq));
        Ok(Exit::Holds)
    }
}

fn open(args: &ClusterArgs) -> Result<Session, CliError> {
    let session = args.open()?;
    session.needs(Right::Audit.least())?;
    Ok(session)
}

/// Reads a whole log and follows its chain, past each place where it was seen.
async fn read(
    session: &Session,
    node: &NodeName,
    kept: Vec<AuditHead>,
    mut each: impl FnMut(&str),
) -> Result<Verified, String> {
    let (sender, mut lines) = mpsc::channel::<String>(1024);
    let mut seen = Seen::new(kept);
    let follow = async {
        let mut result = Ok(());
        while let Some(line) = lines.recv().await {
            each(&line);
            result = result.and_then(|()| seen.read(&line));
        }
        result
    };
    let (told, result) = tokio::join!(session.fleet.audit(node, sender), follow);
    told.map_err(|error: FleetError| error.why())?;
    result?;
    seen.finish()
}

/// A log as it is read, and where it was seen before.
struct Seen {
    log: Whole,
    kept: BTreeMap<u64, Sha256>,
    /// Places that lie in lines which are gone.
    gone: usize,
}

/// A log that is whole.
#[derive(Debug, PartialEq, Eq)]
struct Verified {
    head: AuditHead,
    /// Its first line: the agent removes old ones.
    first: u64,
    /// Of the places where it was seen, those that lie before.
    gone: usize,
}

fn verified(node: &NodeName, log: &Verified, places: usize) -> String {
    let Verified { head, first, gone } = log;
    let lines = match first {
        1 => format!("{} lines", head.seq),
        first => format!("lines {first} to {}; its agent has removed those before", head.seq),
    };
    let seen = match gone {
        0 => format!("all {places} places where the log was seen are in it"),
        gone => format!(
            "{} places where the log was seen are in it, {gone} lie before its first line",
            places - gone
        ),
    };
    format!("{node}: {lines}; each follows from the one before, and {seen}\n")
}

impl Seen {
    fn new(kept: Vec<AuditHead>) -> Self {
        let kept = kept.into_iter().map(|AuditHead { seq, sha256 }| (seq, sha256)).collect();
        Self { log: Whole::default(), kept, gone: 0 }
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        let first = self.log.chain().head().seq == 0;
        self.log.read(line).map_err(|error| error.to_string())?;
        if let Some(gone) = self.log.gone().filter(|_| first).cloned() {
            self.leave_out(&gone)?;
        }
        self.is_as_seen(&self.log.chain().head().clone())
    }

    fn is_as_seen(&mut self, AuditHead { seq, sha256 }: &AuditHead) -> Result<(), String> {
        match self.kept.remove(seq) {
            Some(kept) if kept != *sha256 => {
                Err(format!("line {seq} is not the one that was seen before: it was rewritten"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Of lines that are gone only the last is still vouched for. One place must be left where the log
    /// was seen: a log that begins behind all of them may be any log.
    fn leave_out(&mut self, gone: &AuditHead) -> Result<(), String> {
        let newest = self.kept.keys().next_back().copied().unwrap_or_default();
        if newest < gone.seq && newest > 0 {
            let first = gone.seq + 1;
            return Err(format!("it begins at line {first}, and line {newest} was seen before"));
        }
        let later = self.kept.split_off(&gone.seq);
        self.gone = self.kept.keys().filter(|seq| **seq > 0).count();
        self.kept = later;
        self.is_as_seen(gone)
    }

    fn finish(mut self) -> Result<Verified, String> {
        // An empty log has a head too.
        self.kept.remove(&0);
        let first = self.log.gone().map_or(1, |gone| gone.seq + 1);
        let head = self.log.end().map_err(|error| error.to_string())?.head().clone();
        match self.kept.pop_last() {
            None => Ok(Verified { head, first, gone: self.gone }),
            Some((kept, _)) => {
                Err(format!("it ends at line {}, and line {kept} was seen before", head.seq))
            }
        }
    }
}

fn back(text: &str) -> Result<Duration, String> {
    span(text, "say how long ago, as in 2h")
}

fn unreadable(error: &StoreError) -> CliError {
    CliError::new(Exit::Failed, error).hint(error.advice())
}

#[cfg(test)]
mod tests {
    use quorate_proto::OperationId;
    use quorate_proto::audit::{Chain, Deed};

    use super::*;

    fn log(lines: u64, word: &str) -> Vec<(String, AuditHead)> {
        let mut chain = Chain::default();
        let mut log = Vec::new();
        for at in 0..lines {
            let operation = OperationId(format!("{word}-{at}"));
            let (line, next) = chain.write(at, "one", Deed::Begun { operation });
            chain = next;
            log.push((line, chain.head().clone()));
        }
        log
    }

    fn verify(log: &[(String, AuditHead)], kept: Vec<AuditHead>) -> Result<u64, String> {
        let mut seen = Seen::new(kept);
        log.iter().try_for_each(|(line, _)| seen.read(line))?;
        seen.finish().map(|log| log.head.seq)
    }

    #[test]
    fn a_log_that_begins_later_is_verified_where_a_place_in_it_was_seen() {
        let mut log = log(6, "ours");
        let mut chain = Chain::default();
        log.iter().try_for_each(|(line, _)| chain.read(line)).unwrap();
        let AuditHead { seq: upto, sha256 } = log[2].1.clone();
        let (line, next) = chain.write(9, "one", Deed::Shed { upto, sha256 });
        log.push((line, next.head().clone()));
        let heads = |lines: &[usize]| lines.iter().map(|at| log[*at].1.clone()).collect();
        let read = |kept| {
            let mut seen = Seen::new(kept);
            log[3..].iter().try_for_each(|(line, _)| seen.read(line))?;
            seen.finish().map(|log| (log.first, log.head.seq, log.gone))
        };
        assert_eq!(read(Vec::new()), Ok((4, 7, 0)));
        assert_eq!(read(heads(&[0, 1, 2, 4])), Ok((4, 7, 2)));
        let before = read(heads(&[0, 1])).unwrap_err();
        assert_eq!(before, "it begins at line 4, and line 2 was seen before");
        let other = AuditHead { seq: 3, sha256: Sha256::of(b"other") };
        let rewritten = read(vec![other]).unwrap_err();
        assert_eq!(rewritten, "line 3 is not the one that was seen before: it was rewritten");

        let name = NodeName::try_from("cp-1").unwrap();
        let head = log[6].1.clone();
        assert_eq!(
            verified(&name, &Verified { head, first: 4, gone: 2 }, 4),
            "cp-1: lines 4 to 7; its agent has removed those before; each follows from the one \
             before, and 2 places where the log was seen are in it, 2 lie before its first line\n"
        );
    }

    #[test]
    fn a_log_is_verified_against_all_that_was_seen_of_it() {
        let (ours, other) = (log(6, "ours"), log(9, "other"));
        let heads =
            |log: &[(String, AuditHead)]| log.iter().map(|(_, head)| head.clone()).collect();
        assert_eq!(verify(&ours, heads(&ours[2..5])), Ok(6));
        assert_eq!(verify(&ours, vec![AuditHead::default()]), Ok(6));
        assert_eq!(verify(&[], Vec::new()), Ok(0));
        // Written anew, and longer than before: only what was seen tells.
        let rewritten = verify(&other, heads(&ours[3..4])).unwrap_err();
        assert_eq!(rewritten, "line 4 is not the one that was seen before: it was rewritten");
        let shorter = verify(&ours[..3], heads(&ours[1..5])).unwrap_err();
        assert_eq!(shorter, "it ends at line 3, and line 5 was seen before");
    }
}
