//! The Unix socket between an agent's processes, and by what the kernel knows who is at its other end.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};

use super::user::{self, UserError};

/// Why a process may not call.
#[derive(Debug, thiserror::Error)]
pub enum Stranger {
    #[error("the user {found} is at the other end, not {wanted}")]
    User { found: u32, wanted: u32 },
    #[error("process {pid} is in the cgroup {found:?}, not in {wanted}")]
    Cgroup { pid: i32, found: Option<String>, wanted: String },
    #[error("the kernel does not tell who is at the other end")]
    Untold,
    #[error("asking who is at the other end")]
    Io(#[from] io::Error),
}

/// Why it cannot be said who may call.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    #[error(transparent)]
    User(#[from] UserError),
    #[error("reading in which cgroup this process is")]
    Cgroup(#[source] io::Error),
    #[error("this process is in no cgroup of systemd's; systemd has to start it")]
    NoUnit,
}

/// Which process may call: one of a user, in a unit.
#[derive(Debug, Clone)]
pub struct Admission {
    uid: u32,
    cgroup: String,
}

impl Admission {
    /// The processes of this user in this unit, which lies in the same slice as this process's own.
    pub fn beside_this_unit(user: &str, unit: &str) -> Result<Self, AdmissionError> {
        let own = cgroup("self").map_err(AdmissionError::Cgroup)?;
        let (slice, _) =
            own.as_deref().and_then(|own| own.rsplit_once('/')).ok_or(AdmissionError::NoUnit)?;
        Ok(Self { uid: user::uid(user)?, cgroup: format!("{slice}/{unit}") })
    }

    /// Whether who connected may call. Read from the kernel, which noted user and process when they
    /// connected: a process that is gone since is refused.
    pub fn admit(&self, stream: &UnixStream) -> Result<(), Stranger> {
        let peer = stream.peer_cred()?;
        if peer.uid() != self.uid {
            return Err(Stranger::User { found: peer.uid(), wanted: self.uid });
        }
        let pid = peer.pid().ok_or(Stranger::Untold)?;
        let found = cgroup(&pid.to_string())?;
        if found.as_deref() == Some(self.cgroup.as_str()) {
            Ok(())
        } else {
            Err(Stranger::Cgroup { pid, found, wanted: self.cgroup.clone() })
        }
    }

    /// This very process.
    #[cfg(any(test, feature = "fake"))]
    pub fn of_this_process() -> Self {
        let cgroup = cgroup("self").ok().flatten().unwrap_or_default();
        Self { uid: nix::unistd::Uid::current().as_raw(), cgroup }
    }

    /// The same for another user.
    #[cfg(test)]
    pub(crate) fn of_another_user(self) -> Self {
        Self { uid: self.uid + 1, ..self }
    }

    /// The same for another unit.
    #[cfg(test)]
    pub(crate) fn of_another_unit(self) -> Self {
        Self { cgroup: "/system.slice/other.service".to_owned(), ..self }
    }
}

/// Connects to a socket.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

/// The listening socket that systemd gave this process as its standard input.
pub fn inherited() -> io::Result<UnixListener> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let listener = std::os::unix::net::UnixListener::from(socket);
    listener.local_addr()?; // fails where it is no Unix socket
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Not through a thread for files: nothing here waits for a disk.
fn cgroup(process: &str) -> io::Result<Option<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    Ok(cgroup_in(&text).map(str::to_owned))
}

/// Where systemd has put a process: in its own hierarchy on cgroup v1, else in the only one.
fn cgroup_in(text: &str) -> Option<&str> {
    let path = |of: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(_, line)| line.strip_prefix(of))
    };
    path("name=systemd:").or_else(|| path(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemds_own_hierarchy_tells_the_unit() {
        let v2 = "0::/system.slice/quorate-agent.service\n";
        let v1 = "12:pids:/user.slice\n1:name=systemd:/system.slice/quorate-agent.service\n0::/\n";
        for text in [v1, v2] {
            assert_eq!(cgroup_in(text), Some("/system.slice/quorate-agent.service"), "{text}");
        }
        assert_eq!(cgroup_in("3:cpu:/system.slice/quorate-agent.service\n"), None);
    }

    #[tokio::test]
    async fn who_connects_is_known_by_user_and_cgroup() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let us = Admission::of_this_process();
        us.admit(&ours).unwrap();
        let user = us.clone().of_another_user().admit(&ours).unwrap_err();
        assert!(matches!(user, Stranger::User { .. }), "{user}");
        let unit = us.of_another_unit().admit(&ours).unwrap_err();
        assert!(matches!(unit, Stranger::Cgroup { .. }), "{unit}");
    }
}
