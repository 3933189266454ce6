//! Lines of a file that another process is still writing.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Longer lines are cut into several, so that a program without line ends fills no memory.
const LONGEST: usize = 16 << 10;

/// What a unit prints, held open: it can be read to its end even after the file was removed.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    unfinished: Vec<u8>,
}

impl Lines {
    /// Opens the file; `None` where there is none.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { file, unfinished: Vec::new() })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the file was removed.
    pub(super) fn file_is_gone(&self) -> bool {
        self.file.metadata().map_or(true, |meta| meta.nlink() == 0)
    }

    /// The lines that were finished since the last reading; the rest too, if it is the `last`.
    pub(super) fn read(&mut self, last: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let mut block = vec![0; 1 << 16];
        // The file lies in memory: a failure to read it means that there is nothing more.
        while let Ok(count @ 1..) = self.file.read(&mut block) {
            for &byte in block.iter().take(count) {
                if byte == b'\n' || self.unfinished.len() == LONGEST {
                    lines.push(self.take());
                }
                if byte != b'\n' {
                    self.unfinished.push(byte);
                }
            }
        }
        if last && !self.unfinished.is_empty() {
            lines.push(self.take());
        }
        lines
    }

    /// The line so far as a terminal would end up showing it, without anything that moves a cursor.
    fn take(&mut self) -> String {
        let bytes = std::mem::take(&mut self.unfinished);
        let text = String::from_utf8_lossy(&bytes);
        let shown = text.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
        shown.chars().filter(|&c| c == '\t' || !c.is_control()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_as_they_are_finished_and_after_the_file_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        assert!(Lines::open(&path).unwrap().is_none());
        let mut writer = File::create(&path).unwrap();
        let mut lines = Lines::open(&path).unwrap().unwrap();
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(lines.read(false), ["one"]);
        writer.write_all(b"o\n 5%\r 99%\r\n\xff\x1b[1mthree").unwrap();
        assert!(!lines.file_is_gone());
        assert_eq!(lines.read(false), ["two", " 99%"]);
        std::fs::remove_file(&path).unwrap();
        assert!(lines.file_is_gone());
        assert_eq!(lines.read(true), ["\u{fffd}[1mthree"]);
    }
}
