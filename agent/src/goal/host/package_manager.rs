//! What goals ask of the package manager of a node, and which one that is.

use std::collections::BTreeMap;

use async_trait::async_trait;
use quorate_proto::goal::{Package, PackageSource};

use super::apt::Apt;
use crate::goal::Work;
use crate::host::{Host, HostError};

/// The package manager of this node.
pub(super) const PACKAGE_MANAGER: &dyn PackageManager = &Apt;

/// What is known of a package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub version: String,
    /// Unpacked and configured.
    pub installed: bool,
    pub held: bool,
}

/// Versions that can be installed, by package.
pub(super) type Versions = BTreeMap<String, Vec<String>>;

#[async_trait]
pub(super) trait PackageManager: Sync {
    /// Returns the state of each of these packages that is known.
    async fn states(
        &self,
        host: &dyn Host,
        of: &[Package],
    ) -> Result<BTreeMap<String, State>, HostError>;

    /// Finishes what an interruption left half done; returns whether there was something.
    async fn repair(
        &self,
        host: &dyn Host,
        states: &BTreeMap<String, State>,
        work: &Work<'_>,
    ) -> Result<bool, HostError>;

    async fn is_newer(&self, host: &dyn Host, version: &str, than: &str)
    -> Result<bool, HostError>;

    /// Returns the versions that the repositories had at the last [`Self::refresh`].
    async fn versions(&self, host: &dyn Host, of: &[&Package]) -> Result<Versions, HostError>;

    /// Fetches the lists of all repositories.
    async fn refresh(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError>;

    /// Installs packages, or upgrades them, without removing any other.
    async fn install(
        &self,
        host: &dyn Host,
        packages: &[&Package],
        work: &Work<'_>,
    ) -> Result<(), HostError>;

    /// Keeps upgrades of the system from these packages.
    async fn hold(&self, host: &dyn Host, names: &[&str]) -> Result<(), HostError>;

    /// Returns the file that makes a repository known.
    fn source_file(&self, source: &PackageSource) -> SourceFile;

    /// Fetches the lists of a repository by such a file, which is not in place yet.
    async fn try_source(
        &self,
        host: &dyn Host,
        source: &PackageSource,
        file: &SourceFile,
        work: &Work<'_>,
    ) -> Result<(), HostError>;
}

/// A file that makes a repository known.
pub(super) struct SourceFile {
    pub folder: &'static str,
    pub name: String,
    pub text: String,
    /// The beginning of the line that has the repository's URL.
    pub url_after: &'static str,
}

impl SourceFile {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.folder, self.name)
    }
}
