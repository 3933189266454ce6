//! Files that a change replaces, kept until what runs by the new ones has proved that it works.
//!
//! They survive an agent that dies in between: a goal with files kept is not satisfied, and its next apply
//! goes on to the proof, or puts them back.

use crate::host::{Host, HostError};

/// For root alone, as kubeconfigs and manifests may be among them.
const FOLDER: &str = "/var/lib/quorate-executor/replaced";

/// The files of one change.
pub(super) struct Replacement<'a> {
    /// Names the change on the node.
    pub name: &'static str,
    /// Paths, with the mode in which they come back.
    pub files: &'a [(String, u32)],
}

impl Replacement<'_> {
    /// Whether files are kept: their change has not been proved yet.
    pub(super) async fn is_open(&self, host: &dyn Host) -> Result<bool, HostError> {
        Ok(host.read(&self.mark()).await?.is_some())
    }

    /// Keeps the files as they are; those that are kept already stay so.
    pub(super) async fn keep(&self, host: &dyn Host) -> Result<(), HostError> {
        if self.is_open(host).await? {
            return Ok(());
        }
        for (path, _) in self.files {
            match host.read(path).await? {
                Some(content) => host.write(&self.kept(path), &content, 0o600).await?,
                None => host.remove(&self.kept(path)).await?,
            }
        }
        // Last, so that a set of files that is not whole never comes back.
        host.write(&self.mark(), b"", 0o600).await
    }

    /// Puts the kept files back; one that was not there is removed.
    pub(super) async fn restore(&self, host: &dyn Host) -> Result<(), HostError> {
        for (path, mode) in self.files {
            match host.read(&self.kept(path)).await? {
                Some(content) => host.write(path, &content, *mode).await?,
                None => host.remove(path).await?,
            }
        }
        Ok(())
    }

    /// The change is proved, or undone: nothing is kept any longer.
    pub(super) async fn close(&self, host: &dyn Host) -> Result<(), HostError> {
        host.remove(&self.mark()).await?;
        for (path, _) in self.files {
            host.remove(&self.kept(path)).await?;
        }
        Ok(())
    }

    fn mark(&self) -> String {
        format!("{FOLDER}/{}/open", self.name)
    }

    fn kept(&self, path: &str) -> String {
        let file = path.trim_start_matches('/').replace('/', "_");
        format!("{FOLDER}/{}/{file}", self.name)
    }
}

/// The failure of a change that was undone.
pub(super) fn undone(node: &str, what: &str, error: &HostError) -> HostError {
    HostError::InVain(format!(
        "{what} of {node} did not serve with the changed settings ({error}): the former files are back, and no \
         other node was changed. Correct cluster.yaml, then run the same command again"
    ))
}
