//! What a unit prints, read while it prints it.
//!
//! The program writes to a file in memory, so it never waits for us. What was read of that file is
//! given back to the system, all but its head and its end: a flood fills no memory for as long as an
//! agent follows, and an agent that was restarted still has both.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};
use quorate_proto::Redactor;
use quorate_proto::redact::Stream;

use crate::host::command::LINES_KEPT;
use crate::progress::Progress;

/// At either end of the file: ten times what kubeadm or apt-get print in all.
const KEPT: u64 = 1 << 20;
/// Read at once.
const BLOCK: usize = 1 << 16;

/// The file, held open: it can be read to its end even after it was removed.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    stream: Stream,
    read: u64,
    given_back: u64,
}

impl Lines {
    /// Opens the file; `None` where there is none.
    pub(super) fn open(path: &Path, redactor: Redactor) -> io::Result<Option<Self>> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => {
                let stream = Stream::new(redactor);
                Ok(Some(Self { file, stream, read: 0, given_back: KEPT }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the file was removed.
    pub(super) fn file_is_gone(&self) -> bool {
        self.file.metadata().map_or(true, |meta| meta.nlink() == 0)
    }

    /// The lines that the next block finishes; `None` where there is nothing more yet.
    pub(super) fn read(&mut self) -> Option<Vec<String>> {
        let mut block = vec![0; BLOCK];
        // The file lies in memory: a failure to read it means that there is nothing more.
        let count = self.file.read(&mut block).unwrap_or_default();
        let bytes = block.get(..count).filter(|bytes| !bytes.is_empty())?;
        self.read += u64::try_from(count).unwrap_or_default();
        if bytes.iter().all(|&byte| byte == 0) {
            self.skip_hole();
            // What goes before a hole and what follows it is not one line.
            return Some(self.stream.push(b"\n"));
        }
        let lines = self.stream.push(bytes);
        self.give_back();
        Some(lines)
    }

    /// The last line, if it has no end.
    pub(super) fn finish(&mut self) -> Vec<String> {
        self.stream.finish()
    }

    /// An agent before this one has given back what was here.
    fn skip_hole(&mut self) {
        let next = i64::try_from(self.read).ok();
        let data = next.and_then(|next| lseek(&self.file, next, Whence::SeekData).ok());
        let data = data.and_then(|data| u64::try_from(data).ok());
        // Without data behind it the hole reaches the end.
        self.read = data.or_else(|| self.file.seek(SeekFrom::End(0)).ok()).unwrap_or(self.read);
        self.given_back = self.given_back.max(self.read);
    }

    fn give_back(&mut self) {
        let until = self.read.saturating_sub(KEPT);
        let length = until.saturating_sub(self.given_back);
        if length < KEPT {
            return;
        }
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (Ok(from), Ok(size)) = (i64::try_from(self.given_back), i64::try_from(length)) else {
            return;
        };
        // Where the file system cannot, the file grows as it would without us.
        fallocate(&self.file, hole, from, size).ok();
        self.given_back = until;
    }
}

/// Lines that are told as they come; what comes after so many bytes is told by its end alone.
const TOLD: usize = 1 << 20;
/// Of the lines that are kept for the end.
const LAST: usize = 1 << 18;

/// Passes a unit's lines on: the head as it comes, and the end once the unit has ended.
#[derive(Debug, Default)]
pub(super) struct Told {
    bytes: usize,
    /// The newest lines, told or not.
    last: VecDeque<String>,
    last_bytes: usize,
    untold: usize,
}

impl Told {
    /// Another line.
    pub(super) fn take(&mut self, line: String, progress: &Progress) {
        self.bytes += line.len();
        if self.bytes <= TOLD {
            progress.output(line.as_str());
        } else {
            self.untold += 1;
        }
        self.last_bytes += line.len();
        self.last.push_back(line);
        while self.last.len() > LINES_KEPT || self.last_bytes > LAST {
            let line = self.last.pop_front().unwrap_or_default();
            self.last_bytes -= line.len();
        }
    }

    /// The unit has ended: its last lines.
    pub(super) fn finish(self, progress: &Progress) -> Vec<String> {
        if let Some(left_out) = self.untold.checked_sub(self.last.len()).filter(|&n| n > 0) {
            progress.output(format!("(it printed much: {left_out} lines are left out here)"));
        }
        let told = self.last.len().saturating_sub(self.untold);
        for line in self.last.iter().skip(told) {
            progress.output(line.as_str());
        }
        self.last.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use quorate_proto::Event;
    use tokio::sync::mpsc;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<String> {
        std::iter::from_fn(|| lines.read()).flatten().collect()
    }

    #[test]
    fn lines_are_read_as_they_are_finished_and_after_the_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        assert!(Lines::open(&path, Redactor::default()).unwrap().is_none());
        let mut writer = File::create(&path).unwrap();
        let mut lines = Lines::open(&path, Redactor::default()).unwrap().unwrap();
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(all(&mut lines), ["one"]);
        writer.write_all(b"o\n 5%\r 99%\r\n\xff\x1b[1mthree").unwrap();
        assert!(!lines.file_is_gone());
        assert_eq!(all(&mut lines), ["two", " 99%"]);
        std::fs::remove_file(&path).unwrap();
        assert!(lines.file_is_gone());
        assert_eq!(lines.finish(), ["\u{fffd}three"]);
    }

    #[test]
    fn a_flood_keeps_no_more_of_the_file_than_its_ends_and_another_agent_finds_those() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        let mut writer = File::create(&path).unwrap();
        let mut lines = Lines::open(&path, Redactor::default()).unwrap().unwrap();
        let (mut number, mut most) = (0, 0);
        for _ in 0..32 {
            let text: String = (0..1 << 14).map(|at| format!("{:063}\n", number + at)).collect();
            writer.write_all(text.as_bytes()).unwrap();
            number += all(&mut lines).len();
            most = most.max(writer.metadata().unwrap().blocks() * 512);
        }
        assert_eq!(number, 32 << 14);
        assert!(most <= 5 * KEPT, "{most} of {} bytes were kept", number * 64);

        let mut again = Lines::open(&path, Redactor::default()).unwrap().unwrap();
        let found = all(&mut again);
        let one = |number: usize| format!("{number:063}");
        assert!(found.len() < 5 << 14, "{}", found.len());
        assert_eq!(found.first(), Some(&one(0)));
        assert_eq!(found.last(), Some(&one(number - 1)));
    }

    #[test]
    fn of_a_flood_the_head_is_told_as_it_comes_and_the_end_once_it_came() {
        let (sender, mut events) = mpsc::unbounded_channel();
        let progress = Progress::new(sender);
        let mut told = Told::default();
        for number in 0..100_000 {
            told.take(format!("{number:063}"), &progress);
        }
        let last = told.finish(&progress);
        let mut lines = Vec::new();
        while let Ok(Event::Output { line }) = events.try_recv() {
            lines.push(line);
        }
        assert_eq!(lines.len(), TOLD / 63 + 1 + LINES_KEPT);
        let left_out = 100_000 - TOLD / 63 - LINES_KEPT;
        let note = format!("(it printed much: {left_out} lines are left out here)");
        assert_eq!(lines[TOLD / 63], note);
        assert_eq!(lines[lines.len() - LINES_KEPT..], last);
    }
}
