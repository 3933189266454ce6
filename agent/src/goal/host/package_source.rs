//! The package manager knows a repository and the key that signs it.
//!
//! The file is put in place only after the repository's lists have been fetched by it. So a wrong
//! address or key changes nothing, and a file that is there has been fetched by.

use async_trait::async_trait;
use quorate_proto::goal::PackageSource;
use quorate_proto::{Drift, Finding};

use super::package_manager::PACKAGE_MANAGER;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};

#[async_trait]
impl Ensure for PackageSource {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let file = PACKAGE_MANAGER.source_file(self);
        let found = host.text(&file.path()).await?;
        if found.as_deref() == Some(&file.text) {
            return Ok(Finding::Satisfied);
        }
        let found = found.as_deref().map_or("not there", |text| {
            let url = text.lines().find_map(|line| line.strip_prefix(file.url_after));
            url.filter(|url| *url != self.url).unwrap_or("another content")
        });
        Ok(Finding::from_drifts(vec![Drift::new(file.path(), found, &self.url)]))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let file = PACKAGE_MANAGER.source_file(self);
        if host.text(&file.path()).await?.as_deref() == Some(&file.text) {
            return Ok(());
        }
        PACKAGE_MANAGER.try_source(host, self, &file, work).await?;
        host.write(&file.path(), file.text.as_bytes(), 0o644).await
    }
}
