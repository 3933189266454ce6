//! Where a file is to be written: a folder held open, and a name in it.
//!
//! The folder is reached from the root one step at a time, through no symbolic link, so that nobody
//! who may write to some folder on the way can lead root elsewhere, also not while it is on its way.
//! `openat2` would do that in one call; the steps are needed to make what is missing, and do it on
//! any kernel.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

/// A name in a folder that is held open.
pub(super) struct Place {
    folder: OwnedFd,
    name: String,
}

impl Place {
    /// Where `path` is below `root`; `None` where a folder on the way is missing.
    pub(super) fn find(root: &Path, path: &str) -> io::Result<Option<Self>> {
        Self::reach(root, path, false)
    }

    /// Where `path` is below `root`. Folders that are missing are made.
    pub(super) fn make(root: &Path, path: &str) -> io::Result<Self> {
        Self::reach(root, path, true)?.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn reach(root: &Path, path: &str, make: bool) -> io::Result<Option<Self>> {
        let mut steps = Vec::new();
        for component in Path::new(path).components() {
            match component {
                Component::RootDir => {}
                Component::Normal(step) => steps.push(step.to_string_lossy().into_owned()),
                Component::Prefix(_) | Component::CurDir | Component::ParentDir => {
                    return Err(refused(format!("{path} is not a plain path")));
                }
            }
        }
        let name = steps.pop().ok_or_else(|| refused(format!("{path} names no file")))?;
        let mut folder = open(root, FOLDER, Mode::empty())?;
        let mut so_far = String::new();
        for step in steps {
            so_far += "/";
            so_far += &step;
            folder = match enter(&folder, &step, make) {
                Ok(next) => next,
                Err(Errno::ENOENT) => return Ok(None),
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    return Err(refused(format!(
                        "{so_far} is no folder of its own: quorate, being root, follows no symbolic \
                         link; put a folder (or a mount) in its place"
                    )));
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Some(Self { folder, name }))
    }

    /// Replaces the whole file: after a crash it has the old content or the new.
    ///
    /// Errors: what is there is not a plain file of our own, such as a link that someone made.
    pub(super) fn replace(&self, content: &[u8], mode: u32) -> io::Result<()> {
        self.own_or_absent()?;
        // A name that no program takes for its own: hidden, and of no known suffix.
        let new = format!(".{}.quorate-new", self.name);
        self.unlink(&new)?; // left by a crash
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let file = openat(&self.folder, new.as_str(), flags | OFlag::O_CLOEXEC, PRIVATE)?;
        let mut file = File::from(file);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        renameat(&self.folder, new.as_str(), &self.folder, self.name.as_str())?;
        self.sync_folder()
    }

    /// Adds to the file's end: after it returned, a power cut leaves all of it. A write that failed is
    /// taken back as far as the disk lets us.
    ///
    /// Errors: as [`Self::replace`].
    pub(super) fn append(&self, content: &[u8]) -> io::Result<()> {
        self.own_or_absent()?;
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NOFOLLOW;
        let file = openat(&self.folder, self.name.as_str(), flags | OFlag::O_CLOEXEC, PRIVATE)?;
        own(&fstat(&file)?)?; // it may have been exchanged since
        let mut file = File::from(file);
        let before = file.metadata()?.len();
        if let Err(error) = file.write_all(content) {
            file.set_len(before).ok();
            return Err(error);
        }
        file.sync_data()?;
        if before == 0 { self.sync_folder() } else { Ok(()) }
    }

    /// Writes into a file that exists, as the kernel's files want it: no other file takes its place.
    pub(super) fn set(&self, value: &str) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&self.folder, self.name.as_str(), flags, Mode::empty())?;
        File::from(file).write_all(value.as_bytes())
    }

    /// Removes the name, durably; no error where there is none.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.unlink(&self.name)?;
        self.sync_folder()
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn own_or_absent(&self) -> io::Result<()> {
        match fstatat(&self.folder, self.name.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Err(Errno::ENOENT) => Ok(()),
            found => own(&found?),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::from(self.folder.as_fd().try_clone_to_owned()?).sync_all()
    }
}

const FOLDER: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// One step; a folder that is missing is made if asked.
fn enter(folder: &OwnedFd, step: &str, make: bool) -> Result<OwnedFd, Errno> {
    match openat(folder, step, FOLDER, Mode::empty()) {
        Err(Errno::ENOENT) if make => {
            match mkdirat(folder, step, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(error),
            }
            nix::unistd::fsync(folder)?;
            openat(folder, step, FOLDER, Mode::empty())
        }
        entered => entered,
    }
}

fn own(found: &FileStat) -> io::Result<()> {
    let what = if !is_plain(found) {
        "a symbolic link, or no file at all"
    } else if found.st_nlink != 1 {
        "known by another name too (a hard link)"
    } else if found.st_uid != geteuid().as_raw() {
        "owned by another user"
    } else {
        return Ok(());
    };
    Err(refused(format!("it is {what}: see who made it so, and put a plain file there")))
}

fn is_plain(found: &FileStat) -> bool {
    SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG
}

fn refused(why: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn write(root: &Path, path: &str) -> io::Result<()> {
        Place::make(root, path)?.replace(b"ours", 0o644)
    }

    #[test]
    fn no_link_on_the_way_is_followed() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), root.path().join("etc")).unwrap();
        let error = write(root.path(), "/etc/hosts").unwrap_err().to_string();
        assert!(error.starts_with("/etc is no folder of its own"), "{error}");
        assert!(Place::find(root.path(), "/etc/hosts").is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);

        fs::write(root.path().join("file"), "").unwrap();
        assert!(write(root.path(), "/file/hosts").is_err());
    }

    #[test]
    fn what_is_not_a_plain_file_of_our_own_is_left_as_it_is() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let theirs = outside.path().join("theirs");
        fs::write(&theirs, "theirs").unwrap();
        symlink(&theirs, root.path().join("link")).unwrap();
        fs::hard_link(&theirs, root.path().join("hard")).unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe"), PRIVATE).unwrap();
        for name in ["link", "hard", "folder", "pipe"] {
            let error = write(root.path(), name).unwrap_err().to_string();
            assert!(error.starts_with("it is "), "{name}: {error}");
            let appended = Place::make(root.path(), name).and_then(|place| place.append(b"ours"));
            let error = appended.unwrap_err().to_string();
            assert!(error.starts_with("it is "), "{name}: {error}");
        }
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
        assert_eq!(fs::read_link(root.path().join("link")).unwrap(), theirs);
        let names = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(names, 4, "something was left beside them");
    }

    #[test]
    fn what_is_added_stands_behind_what_was_there_in_a_private_file() {
        let root = tempfile::tempdir().unwrap();
        for line in ["one\n", "two\n"] {
            Place::make(root.path(), "state/log").unwrap().append(line.as_bytes()).unwrap();
        }
        let path = root.path().join("state/log");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn paths_that_climb_or_name_no_file_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for path in ["/etc/../hosts", "..", "/", ""] {
            assert!(write(root.path(), path).is_err(), "{path:?}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_swapped_for_a_link_during_a_write_leads_nowhere_else() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (folder, aside) = (root.path().join("etc"), root.path().join("aside"));
        fs::create_dir(&folder).unwrap();
        let over = AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    fs::rename(&folder, &aside).unwrap();
                    symlink(outside.path(), &folder).unwrap();
                    fs::remove_file(&folder).unwrap();
                    fs::rename(&aside, &folder).unwrap();
                }
                over.store(true, Ordering::Release);
            });
            let mut written = 0;
            while !over.load(Ordering::Acquire) {
                let place = Place::find(root.path(), "etc/hosts");
                let done =
                    place.and_then(|place| place.map_or(Ok(()), |at| at.replace(b"", 0o644)));
                written += usize::from(done.is_ok());
            }
            written
        });
        assert!(written > 0, "every write failed");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
