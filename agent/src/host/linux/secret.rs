//! Files with a secret that somebody else put there: read with suspicion, blotted out in place.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;
use quorate_proto::Secret;

use super::files::found;
use crate::host::{blot, places};

/// Join tokens have 132 bytes; nothing small that is a secret has more.
const LARGEST: u64 = 4096;
/// Of files that are searched: logs of a first boot are far smaller.
const LARGEST_SEARCHED: u64 = 64 << 20;

/// The secret, `None` where there is no such file, or why it is not taken. `named` is its path as people
/// know it.
pub(super) fn read(path: &Path, named: &str) -> io::Result<Result<Option<Secret>, String>> {
    let mut file = match open(path, OpenOptions::new().read(true)) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Ok(None)),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Ok(Err(format!("{named} is a symbolic link; name the file itself")));
        }
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(Err(format!("{named} is no regular file")));
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Ok(Err(format!(
            "{named} has mode {mode:04o}, so that others than its owner can read or change it: take it \
             for known, get a new token, and keep that one with mode 0600"
        )));
    }
    let mut text = String::new();
    // One byte more tells a file that is too large from one that just fits.
    let size = file.by_ref().take(LARGEST + 1).read_to_string(&mut text);
    let secret = Secret::new(text);
    match size {
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Ok(Err(format!("{named} is not text")))
        }
        Err(error) => Err(error),
        Ok(size) if u64::try_from(size).is_ok_and(|size| size <= LARGEST) => Ok(Ok(Some(secret))),
        Ok(_) => Ok(Err(format!("{named} has more than {LARGEST} bytes, which no token has"))),
    }
}

/// Writes over each copy of the secret. A link, a folder or a device has none.
pub(super) fn blot_out(path: &Path, secret: &Secret) -> io::Result<usize> {
    let file = match open(path, OpenOptions::new().read(true).write(true)) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(0),
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => return Ok(0),
        Err(error) if error.kind() == ErrorKind::IsADirectory => return Ok(0),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(0);
    }
    if about.len() > LARGEST_SEARCHED {
        return Err(io::Error::other("it is too large to be searched"));
    }
    let mut content = Vec::new();
    (&file).take(LARGEST_SEARCHED).read_to_end(&mut content)?;
    let bytes = secret.expose().as_bytes();
    let places = places(&content, bytes);
    for &at in &places {
        let at = u64::try_from(at).map_err(io::Error::other)?;
        file.write_all_at(&blot(bytes.len()), at)?;
    }
    if !places.is_empty() {
        file.sync_all()?;
    }
    Ok(places.len())
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<Option<File>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    found(options.custom_flags(flags.bits()).open(path))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn put(path: &Path, content: impl AsRef<[u8]>, mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_read_from_a_small_private_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        put(&at("good"), "qrt1_abc\n", 0o600);
        put(&at("open"), "qrt1_abc\n", 0o644);
        put(&at("group"), "qrt1_abc\n", 0o640);
        put(&at("large"), vec![b'a'; 10 << 20], 0o600);
        put(&at("full"), vec![b'a'; 4096], 0o600);
        put(&at("binary"), [0xff, 0xfe], 0o600);
        symlink(at("good"), at("link")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let read = |path: &Path| read(path, "the file").unwrap();
        assert_eq!(read(&at("good")).unwrap().unwrap().expose(), "qrt1_abc\n");
        assert_eq!(read(&at("full")).unwrap().unwrap().expose().len(), 4096);
        assert_eq!(read(&at("none")).unwrap(), None);
        for (name, why) in [
            ("open", "mode 0644"),
            ("group", "mode 0640"),
            ("large", "more than 4096 bytes"),
            ("binary", "not text"),
            ("link", "symbolic link"),
            ("zero", "symbolic link"),
            ("fifo", "no regular file"),
            ("", "no regular file"),
        ] {
            let refused = read(&at(name)).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        assert!(read(Path::new("/dev/zero")).unwrap_err().contains("no regular file"));
    }

    #[test]
    fn a_secret_is_blotted_out_in_place_and_what_is_round_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let secret = Secret::new("qrt1_0123456789abcdef".to_owned());
        let text =
            b"\x80pickle qrt1_0123456789abcdef, QRT1_0123456789ABCDEF and qrt1_0123456789abcdeX";
        put(&at("file"), text, 0o640);
        let before = fs::metadata(at("file")).unwrap();
        symlink(at("file"), at("link")).unwrap();
        assert_eq!(blot_out(&at("link"), &secret).unwrap(), 0);
        assert_eq!(blot_out(&at("file"), &secret).unwrap(), 2);
        let after = fs::metadata(at("file")).unwrap();
        assert_eq!(
            (before.ino(), before.mode(), before.len()),
            (after.ino(), after.mode(), after.len())
        );
        let expected =
            b"\x80pickle qrt1_REDACTED________, qrt1_REDACTED________ and qrt1_0123456789abcdeX";
        assert_eq!(fs::read(at("file")).unwrap(), expected);
        assert_eq!(blot_out(&at("file"), &secret).unwrap(), 0);
        assert_eq!(blot_out(&at("none"), &secret).unwrap(), 0);
        assert_eq!(blot_out(folder.path(), &secret).unwrap(), 0);
    }
}
