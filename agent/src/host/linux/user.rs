//! Acting as another user for a while: what root makes then is that user's from the start, and a
//! folder of that user's can lead root nowhere.

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, User, setegid, seteuid, setgroups};

/// Why this process does not act as a user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no user {0}; the package makes it: install it, or run `systemd-sysusers`")]
    Unknown(String),
    #[error("looking up the user {0}")]
    Lookup(String, #[source] nix::Error),
    #[error("acting as the user {0}")]
    Change(String, #[source] nix::Error),
}

/// The number of a user.
pub fn uid(name: &str) -> Result<u32, UserError> {
    Ok(lookup(name)?.uid.as_raw())
}

/// From now on root has the rights of this user, and what it makes is for that user alone. Another
/// user than root stays what it is.
pub fn act_as(name: &str) -> Result<(), UserError> {
    if !Uid::current().is_root() {
        return Ok(());
    }
    let user = lookup(name)?;
    umask(Mode::from_bits_truncate(0o077));
    let changed =
        setgroups(&[user.gid]).and_then(|()| setegid(user.gid)).and_then(|()| seteuid(user.uid));
    changed.map_err(|error| UserError::Change(name.to_owned(), error))
}

/// Root is root again.
pub fn act_as_root() -> Result<(), UserError> {
    if !Uid::current().is_root() {
        return Ok(());
    }
    let changed = seteuid(Uid::from_raw(0)).and_then(|()| setegid(Gid::from_raw(0)));
    changed.map_err(|error| UserError::Change("root".to_owned(), error))
}

fn lookup(name: &str) -> Result<User, UserError> {
    let found = User::from_name(name);
    let found = found.map_err(|error| UserError::Lookup(name.to_owned(), error))?;
    found.ok_or_else(|| UserError::Unknown(name.to_owned()))
}
