//! Files that a specification names: keys, manifests, lists of archives.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A specification for 5000 nodes written out has 350 KiB.
pub(super) const LARGEST: usize = 1024 * 1024;
/// A message to an agent has to hold it: see [`quorate_proto::wire::MESSAGE_BYTES`].
pub(super) const LARGEST_MANIFEST: usize = 3 * 1024 * 1024;

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("reading {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} has more than {limit} bytes")]
    Large { path: String, limit: usize },
}

/// The folder of the specification, to which its paths are relative.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// The text of a file of at most so many bytes.
    pub(super) fn read(&self, path: &str, limit: usize) -> Result<String, ReadError> {
        read(&self.0.join(path), limit)
    }
}

/// The text of a file of at most so many bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<String, ReadError> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    match read {
        Err(source) => Err(ReadError::Io { path: shown(), source }),
        Ok(count) if count > limit => Err(ReadError::Large { path: shown(), limit }),
        Ok(_) => Ok(text),
    }
}
