//! Files of the state folder: whole, durable, and for their owner alone.

use std::fs::{DirBuilder, File, OpenOptions, remove_file, rename};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use quorate_proto::Secret;

use super::SiteError;

/// Makes the folder, or takes one that others cannot look into.
pub(super) fn make_private(folder: &Path) -> Result<(), SiteError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(failed("making", folder))?;
    let mode = folder.metadata().map_err(failed("looking at", folder))?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(SiteError::Exposed { path: folder.to_owned() }) }
}

/// Waits until no other process changes who is trusted, and keeps them away until it is dropped.
pub(super) fn alone(folder: &Path) -> Result<File, SiteError> {
    let path = folder.join("trust.lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(failed("opening", &path))?;
    file.lock().map_err(failed("locking", &path))?;
    Ok(file)
}

/// As [`replace_private`], in the state folder.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), SiteError> {
    replace_private(path, content).map_err(failed("writing", path))
}

/// Replaces a whole file: after a crash it has the old content or the new. Others cannot read it,
/// not even for a moment, whatever they could of the old one.
pub(crate) fn replace_private(path: &Path, content: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // What a crash left may have other rights: begin with a fresh file.
    match remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Removes a file that is there.
pub(super) fn remove(path: &Path) -> Result<(), SiteError> {
    remove_file(path).map_err(failed("removing", path))
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_private_file_is_its_owners_alone_also_in_the_place_of_an_open_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for left in [path.clone(), folder.path().join("secret.new")] {
            std::fs::write(&left, "old").unwrap();
            std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        replace_private(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
