//! apt knows a repository and the key that signs it: /etc/apt/sources.list.d/NAME.sources.
//!
//! The file is put in place only after apt has fetched the repository's lists by it. So a wrong
//! address or key changes nothing, and a file that is there has been fetched by.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::PackageSource;
use quorate_proto::{ActivityKind, Drift, Finding, Secret};

use super::packages;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError, Profile, Unit};

/// Fetching lists takes seconds; a mirror that is this slow will not deliver packages either.
const DEADLINE: Duration = Duration::from_secs(600);

fn path(source: &PackageSource) -> String {
    format!("/etc/apt/sources.list.d/{}.sources", source.name)
}

#[async_trait]
impl Ensure for PackageSource {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let found = host.text(&path(self)).await?;
        if found.as_deref() == Some(&stanza(self)) {
            return Ok(Finding::Satisfied);
        }
        let found = found.as_deref().map_or("not there", |text| {
            let uri = text.lines().find_map(|line| line.strip_prefix("URIs: "));
            uri.filter(|uri| *uri != self.url).unwrap_or("another content")
        });
        Ok(Finding::from_drifts(vec![Drift::new(path(self), found, &self.url)]))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let wanted = stanza(self);
        if host.text(&path(self)).await?.as_deref() == Some(&wanted) {
            return Ok(());
        }
        let text = format!("apt-get update, from {}", self.url);
        work.progress.doing(ActivityKind::Packages, text);
        let name = format!("{}.sources", self.name);
        let list = format!("Dir::Etc::SourceList={{dir}}/{name}");
        // Only this source, and the lists of all others stay as they are.
        let mut command = packages::apt_get(&[
            "-o",
            &list,
            "-o",
            "Dir::Etc::SourceParts=-",
            "-o",
            "APT::Get::List-Cleanup=0",
            "-o",
            "APT::Update::Error-Mode=any",
            "update",
        ]);
        command.deadline = DEADLINE;
        let files = vec![(name, Secret::new(wanted.clone()))];
        let unit = Unit::new(Profile::Packages, command).with_files(files);
        packages::run(host, &unit, work).await?;
        host.write(&path(self), wanted.as_bytes(), 0o644).await
    }
}

/// The source in apt's deb822 form, with the key inside (sources.list(5), apt 2.4 and later).
fn stanza(source: &PackageSource) -> String {
    let PackageSource { url, suite, .. } = source;
    let components = if suite.ends_with('/') {
        String::new()
    } else {
        format!("Components: {}\n", source.components.join(" "))
    };
    let lines = source.key.trim().lines().map(str::trim_end);
    let key: String =
        lines.map(|line| format!(" {}\n", if line.is_empty() { "." } else { line })).collect();
    format!(
        "# Written by quorate: changes are overwritten.\n\
         Types: deb\nURIs: {url}\nSuites: {suite}\n{components}Signed-By:\n{key}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_repository_has_no_components_and_a_key_keeps_its_empty_line() {
        let mut source = PackageSource {
            name: "kubernetes".to_owned(),
            url: "https://pkgs.k8s.io/core:/stable:/v1.35/deb/".to_owned(),
            suite: "/".to_owned(),
            components: Vec::new(),
            key:
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n-----END PGP PUBLIC KEY BLOCK-----\n"
                    .to_owned(),
        };
        let wanted = "# Written by quorate: changes are overwritten.\nTypes: deb\n\
                      URIs: https://pkgs.k8s.io/core:/stable:/v1.35/deb/\nSuites: /\nSigned-By:\n \
                      -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQEN\n \
                      -----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(stanza(&source), wanted);
        source.suite = "bookworm".to_owned();
        source.components = vec!["main".to_owned(), "contrib".to_owned()];
        assert!(stanza(&source).contains("Suites: bookworm\nComponents: main contrib\n"));
    }
}
