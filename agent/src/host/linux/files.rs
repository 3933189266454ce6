//! Files of the machine: read whole, replaced whole. Durable, and blocking: callers that are async
//! go through [`blocking`].

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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

/// A file's content; `None` where there is no such file.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    found(fs::read(path))
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

/// Replaces a whole file: after a crash it has the old content or the new.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    fs::create_dir_all(folder)?;
    let new = beside(path)?;
    remove(&new)?; // left by a crash
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}

/// Adds to a file's end: after it returned, a power cut leaves all of it. A write that failed is taken
/// back as far as the disk lets us.
pub(super) fn append(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let before = file.metadata()?.len();
    if let Err(error) = file.write_all(content) {
        file.set_len(before).ok();
        return Err(error);
    }
    file.sync_data()?;
    if before == 0 { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Writes into a file that exists, as the kernel's files want it: no other file takes its place.
pub(super) fn set(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Removes a file; no error where there is none.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    found(fs::remove_file(path)).map(|_| ())
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

/// A name in the same folder that no program takes for its own: hidden, and of no known suffix.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    Ok(path.with_file_name(format!(".{}.quorate-new", name.to_string_lossy())))
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
