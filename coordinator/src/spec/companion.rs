//! Files that a specification names: keys, manifests, lists of archives.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::yaml::LARGEST;

/// A file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("reading {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error("{path} has more than {LARGEST} bytes")]
    Large { path: String },
}

/// The folder of the specification, to which its paths are relative.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// The text of a file, at most [`LARGEST`] bytes of it.
    pub(super) fn read(&self, path: &str) -> Result<String, ReadError> {
        read(&self.0.join(path))
    }
}

/// The text of a file, at most [`LARGEST`] bytes of it.
pub(super) fn read(path: &Path) -> Result<String, ReadError> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
    let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text));
    match read {
        Err(source) => Err(ReadError::Io { path: shown(), source }),
        Ok(count) if count > LARGEST => Err(ReadError::Large { path: shown() }),
        Ok(_) => Ok(text),
    }
}
