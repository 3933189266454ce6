//! The node's audit log on its disk, in segments, in the state folder. [`quorate_proto::audit`] says
//! what its lines are.
//!
//! Nothing is changed on the node of which the log does not know: what cannot be written down is
//! refused. Looks go on.

use quorate_proto::audit::{AuditHead, By, Chain, Deed, Whole, before, number};
use quorate_proto::{Redactor, in_one_line};

use crate::caller::Caller;
use crate::host::{Host, HostError};

/// The folder of the segments, in the state folder.
const FOLDER: &str = "audit";
/// 64 MiB and about 150,000 lines in all: a start reads them, and an operation takes three.
const LIMITS: Limits = Limits { segment: 4 << 20, segments: 16 };
/// Of lines that go out at once. A line alone has few kilobytes.
const PARCEL: usize = 1 << 18;
/// Of a text in a line: enough to know what was meant, and no use for filling a disk.
const TEXT: usize = 1 << 10;

impl From<&Caller> for By {
    fn from(caller: &Caller) -> Self {
        Self { operator: caller.operator.to_string(), address: caller.address.to_string() }
    }
}

/// Why something was not written down, and was therefore not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    #[error("the audit log in {folder} could not be written, so nothing is done: {why}")]
    Write { folder: String, why: String },
    #[error(
        "the audit log in {folder} is damaged, so nothing is done on this node: {why}. Find out who \
         or what did it; keep a copy of the folder, move it away, restart quorate-executor, \
         which begins a new log, and run `quorate audit accept` with this node's name"
    )]
    Damaged { folder: String, why: String },
    /// What a disk made of a write that failed cannot be told without reading it anew.
    #[error(
        "the disk of the audit log in {folder} failed, so nothing is done on this node until \
         quorate-executor was restarted: {why}"
    )]
    Failed { folder: String, why: String },
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes. A segment is read whole, so it is small beside what the executor may need.
    segment: usize,
    /// Beyond these the oldest goes.
    segments: usize,
}

/// The log, open for further lines.
#[derive(Debug)]
pub struct Audit {
    folder: String,
    machine: String,
    chain: Chain,
    /// File name and size of the newest segment.
    segment: Option<(String, usize)>,
    state: State,
    limits: Limits,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Good,
    /// A write failed; there may be a part of a line.
    Unsure,
    Closed(AuditError),
}

impl Audit {
    /// Reads the log of a state folder, and removes a last line that was cut short. A log that is
    /// damaged is opened too, and takes no lines.
    pub async fn open(host: &dyn Host, state_folder: &str) -> Self {
        let folder = format!("{}/{FOLDER}", state_folder.trim_end_matches('/'));
        let machine = host.machine().await.map(|machine| machine.machine_id).unwrap_or_default();
        let (chain, segment, state) = (Chain::default(), None, State::Good);
        let mut audit = Self { folder, machine, chain, segment, state, limits: LIMITS };
        audit.load(host).await;
        audit
    }

    /// Where the log stands; `None` where it cannot be told.
    pub fn head(&self) -> Option<&AuditHead> {
        (!matches!(self.state, State::Closed(_))).then(|| self.chain.head())
    }

    /// Writes down what is about to be done, durably. An error means: do not.
    pub async fn record(&mut self, host: &dyn Host, deed: Deed) -> Result<(), AuditError> {
        if self.state == State::Unsure {
            let known = self.chain.head().seq;
            self.load(host).await;
            if self.chain.head().seq < known && self.state == State::Good {
                self.damaged(format!("line {known} is no longer there"));
            }
        }
        if let State::Closed(error) = &self.state {
            return Err(error.clone());
        }
        if self.add(host, deed).await? {
            self.shed(host).await;
        }
        Ok(())
    }

    /// Adds a line. Says whether it begins a segment.
    async fn add(&mut self, host: &dyn Host, deed: Deed) -> Result<bool, AuditError> {
        let (line, next) = self.chain.write(host.clock_ms().await, &self.machine, deed);
        let line = line + "\n";
        let (name, size) = match self.segment.take() {
            Some((name, size)) if size + line.len() <= self.limits.segment => (name, size),
            Some(_) | None => (format!("{:012}.jsonl", next.head().seq), 0),
        };
        let begins = size == 0;
        let path = format!("{}/{name}", self.folder);
        let appended = host.append(&path, line.as_bytes()).await;
        self.segment = Some((name, size + line.len()));
        match appended {
            Ok(()) => {
                self.chain = next;
                Ok(begins)
            }
            Err(error) => Err(self.not_written(&error)),
        }
    }

    /// Removes the oldest segments where there are too many, each only after a line that says which
    /// line was its last. What does not succeed is tried again with the next segment.
    async fn shed(&mut self, host: &dyn Host) {
        if let Err(why) = self.shed_oldest(host).await {
            tracing::error!("the oldest lines of the audit log stay: {why}");
        }
    }

    async fn shed_oldest(&mut self, host: &dyn Host) -> Result<(), String> {
        let told = |error: HostError| in_one_line(&error);
        let names = segments(host, &self.folder).await.map_err(told)?;
        let surplus = names.len().saturating_sub(self.limits.segments);
        for (oldest, next) in names.iter().zip(names.iter().skip(1)).take(surplus) {
            let content = host.read(&format!("{}/{next}", self.folder)).await.map_err(told)?;
            let content =
                String::from_utf8_lossy(content.as_deref().unwrap_or_default()).into_owned();
            let last = content.lines().next().and_then(before);
            let AuditHead { seq, sha256 } =
                last.ok_or_else(|| format!("{next} does not begin with a line"))?;
            let shed = Deed::Shed { upto: seq, sha256 };
            self.add(host, shed).await.map_err(|error| error.to_string())?;
            host.remove(&format!("{}/{oldest}", self.folder)).await.map_err(told)?;
        }
        Ok(())
    }

    /// Writes down what cannot be undone or was not done: an error is a matter for the journal.
    pub async fn note(&mut self, host: &dyn Host, deed: Deed) {
        if let Err(error) = self.record(host, deed).await {
            tracing::error!("{error}");
        }
    }

    /// The lines after this number, as they are in one segment; `None` after the last segment.
    /// `place` says where to go on.
    pub async fn lines(
        host: &dyn Host,
        folder: &str,
        after: u64,
        place: &mut Option<String>,
    ) -> Result<Option<Vec<String>>, HostError> {
        let names = segments(host, folder).await?;
        let next = match place {
            Some(last) => names.iter().find(|name| *name > last),
            // Lines after this number begin in the last segment that begins before them.
            None => {
                let begun = |name: &&String| first_of(name) <= after.saturating_add(1);
                names.iter().rev().find(begun).or_else(|| names.first())
            }
        };
        let Some(name) = next.cloned() else { return Ok(None) };
        let content = host.read(&format!("{folder}/{name}")).await?;
        *place = Some(name);
        // The oldest may go at any time.
        let Some(content) = content else { return Ok(Some(Vec::new())) };
        let text = String::from_utf8_lossy(&content);
        // What has no end yet is about to be written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let wanted = |line: &&str| number(line).is_none_or(|number| number > after);
        Ok(Some(whole.split('\n').filter(wanted).map(str::to_owned).collect()))
    }

    /// The folder of the segments.
    pub fn folder(&self) -> &str {
        &self.folder
    }

    async fn load(&mut self, host: &dyn Host) {
        self.state = State::Good;
        match self.read(host).await {
            Ok(0) => {}
            Ok(bytes) => {
                tracing::warn!(
                    bytes,
                    "the last line of the audit log was cut short; it is removed"
                );
                let (line, next) =
                    self.chain.write(host.clock_ms().await, &self.machine, Deed::Mended { bytes });
                let Some((name, size)) = &mut self.segment else { return };
                let path = format!("{}/{name}", self.folder);
                let line = line + "\n";
                match host.append(&path, line.as_bytes()).await {
                    Ok(()) => {
                        *size += line.len();
                        self.chain = next;
                    }
                    Err(error) => drop(self.not_written(&error)),
                }
            }
            Err(why) => self.damaged(why),
        }
    }

    /// Reads all segments. Gives the length of what was cut off the newest.
    async fn read(&mut self, host: &dyn Host) -> Result<u64, String> {
        (self.chain, self.segment) = (Chain::default(), None);
        let told = |error: HostError| in_one_line(&error);
        let names = segments(host, &self.folder).await.map_err(told)?;
        let (mut cut, mut log) = (0, Whole::default());
        for (at, name) in names.iter().enumerate() {
            let path = format!("{}/{name}", self.folder);
            let mut content = host.read(&path).await.map_err(told)?.unwrap_or_default();
            let whole = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            if whole < content.len() {
                if at + 1 < names.len() {
                    return Err(format!("{name} ends within a line"));
                }
                cut = u64::try_from(content.len() - whole).unwrap_or_default();
                content.truncate(whole);
                host.write(&path, &content, 0o600).await.map_err(told)?;
            }
            for line in content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                let line = String::from_utf8_lossy(line);
                log.read(&line).map_err(|error| format!("{name}: {error}"))?;
            }
            self.segment = Some((name.clone(), content.len()));
        }
        self.chain = log.end().map_err(|error| error.to_string())?;
        Ok(cut)
    }

    fn damaged(&mut self, why: String) {
        let error = AuditError::Damaged { folder: self.folder.clone(), why };
        tracing::error!("{error}");
        self.state = State::Closed(error);
    }

    /// After a full disk the log is read anew and goes on. After any other failure nobody knows what
    /// will be on the disk, whatever it says now: only another life of the executor looks at it again.
    fn not_written(&mut self, error: &HostError) -> AuditError {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let (folder, why) = (self.folder.clone(), in_one_line(error));
        let full = matches!(
            error,
            HostError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded)
        );
        if full {
            self.state = State::Unsure;
            return AuditError::Write { folder, why };
        }
        let error = AuditError::Failed { folder, why };
        self.state = State::Closed(error.clone());
        error
    }
}

/// A text as a line holds it: without secrets, and not for ever.
pub fn text(redactor: &Redactor, text: &str) -> String {
    let text = redactor.text(text);
    let end = text.floor_char_boundary(TEXT);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Lines as they are handed out: a reply holds so much of them and not a segment.
pub fn parcels(lines: Vec<String>) -> Vec<Vec<String>> {
    let mut parcels: Vec<Vec<String>> = Vec::new();
    let mut room = 0;
    for line in lines {
        match parcels.last_mut() {
            Some(parcel) if line.len() < room => {
                room -= line.len() + 1;
                parcel.push(line);
            }
            Some(_) | None => {
                room = PARCEL.saturating_sub(line.len() + 1);
                parcels.push(vec![line]);
            }
        }
    }
    parcels
}

async fn segments(host: &dyn Host, folder: &str) -> Result<Vec<String>, HostError> {
    let mut names = host.list(folder).await?;
    names.retain(|name| name.ends_with(".jsonl") && !name.starts_with('.'));
    names.sort_unstable_by_key(|name| first_of(name));
    Ok(names)
}

/// The number of a segment's first line, by its name.
fn first_of(name: &str) -> u64 {
    name.trim_end_matches(".jsonl").parse().unwrap_or_default()
}

#[cfg(test)]
mod tests;
