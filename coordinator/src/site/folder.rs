//! Files of the state folder: whole, durable, and for their owner alone.

use std::fs::{DirBuilder, File, OpenOptions, rename};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use quorate_proto::Secret;

use super::SiteError;

/// Makes the folder, or takes one that others cannot look into.
pub(super) fn make_private(folder: &Path) -> Result<(), SiteError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("making", folder))?;
    let mode = folder.metadata().map_err(failed("looking at", folder))?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(SiteError::Exposed { path: folder.to_owned() }) }
}

/// Replaces a whole file: after a crash it has the old content or the new.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), SiteError> {
    let write = || -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        rename(&new, path)?;
        let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(failed("writing", path))
}

/// A file that only its owner can read; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, SiteError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("opening", path))?,
    };
    if file.metadata().map_err(failed("looking at", path))?.mode() & 0o077 != 0 {
        return Err(SiteError::Exposed { path: path.to_owned() });
    }
    let mut content = String::new();
    file.read_to_string(&mut content).map_err(failed("reading", path))?;
    Ok(Some(Secret::new(content)))
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SiteError {
    move |source| SiteError::Io { attempt, path: path.to_owned(), source }
}
