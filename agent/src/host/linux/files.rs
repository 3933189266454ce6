//! Files of the machine, read whole, and those of a unit. Blocking: callers that are async go
//! through [`blocking`]. What is written for good goes through `place`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use quorate_proto::Sha256;
use sha2::Digest as _;

use crate::host::HostError;

/// Does work with files where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    attempt: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, HostError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|result| result).map_err(|source| HostError::Io { attempt, source })
}

/// Far above what any goal reads; the largest is a log of etcd's, which the kubelet keeps below 10 MiB.
const LARGEST: u64 = 64 << 20;

/// A file's content; `None` where there is no such file.
///
/// Errors: it is too large to hold, or no file: a pipe would keep its reader for ever.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NONBLOCK.bits();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let Some(file) = found(opened)? else { return Ok(None) };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a plain file"));
    }
    let mut content = Vec::new();
    let mut rest = file.take(LARGEST + 1);
    rest.read_to_end(&mut content)?;
    if rest.limit() == 0 {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is larger than 64 MiB"));
    }
    Ok(Some(content))
}

/// Names in a folder, sorted; empty where there is no such folder.
pub(super) fn list(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = found(fs::read_dir(folder))? else { return Ok(Vec::new()) };
    let name = |entry: io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names = entries.map(name).collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// The digest of a file, whatever its size; `None` where there is no such file.
pub(super) fn sha256(path: &Path) -> io::Result<Option<Sha256>> {
    let Some(mut file) = found(File::open(path))? else { return Ok(None) };
    let mut digest = sha2::Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut block)?;
        let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else { break };
        digest.update(read);
    }
    Ok(Some(Sha256::from_raw(&digest.finalize().into())))
}

/// Makes a folder that only root can enter. Fails where it exists: nobody else prepared it.
pub(super) fn private_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        DirBuilder::new().mode(0o700).recursive(true).create(parent)?;
    }
    DirBuilder::new().mode(0o700).create(folder)
}

/// Makes a file that only root can read; it lives in memory, so nothing is synced.
pub(super) fn private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// Removes a folder and all in it; no error where there is none.
pub(super) fn remove_folder(folder: &Path) -> io::Result<()> {
    found(fs::remove_dir_all(folder)).map(|_| ())
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        assert!(read(&path("none")).unwrap().is_none());
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let large = File::create(path("large")).unwrap();
        large.set_len(LARGEST + 1).unwrap();
        for name in ["pipe", "large", ""] {
            assert!(read(&path(name)).is_err(), "{name:?}");
        }
        large.set_len(3).unwrap();
        assert_eq!(read(&path("large")).unwrap().unwrap(), [0, 0, 0]);
    }
}
