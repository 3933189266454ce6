//! containerd holds every image that the node needs, so that no start of a pod waits for a registry.
//! Missing ones are imported from archives, whose digest is checked before containerd sees a byte of
//! them, or pulled where the goal names no archives.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Archive, Images};
use quorate_proto::{ActivityKind, Drift, Finding};

use super::image_names;
use crate::goal::{Ensure, Work};
use crate::host::{Command, Host, HostError, Profile, Unit};

/// Half an hour: an archive has some hundred megabytes, and a slow line is not an error.
const DEADLINE: Duration = Duration::from_secs(1800);

const FOLDER: &str = "/var/lib/quorate-executor/archives";

#[async_trait]
impl Ensure for Images {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let lacking = match missing(self, host).await {
            Ok(lacking) => lacking,
            Err(error) if error.program_missing() => {
                let what = format!("images of {}", self.release.version);
                let found = "kubeadm or containerd is not installed";
                return Ok(Finding::from_drifts(vec![Drift::new(what, found, "present")]));
            }
            Err(HostError::Silent { service, source }) => {
                return Ok(Finding::Unknown {
                    why: format!("{service} does not answer: {source}"),
                });
            }
            Err(error) => return Err(error),
        };
        let drift = |name| Drift::new(format!("image {name}"), "missing", "present");
        Ok(Finding::from_drifts(lacking.into_iter().map(drift).collect()))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let lacking = missing(self, host).await?;
        if self.archives.is_empty() {
            for name in lacking {
                pull(host, &name, work).await?;
            }
            return Ok(());
        }
        for archive in self.archives.iter().filter(|archive| holds_any(archive, &lacking)) {
            import(host, archive, work).await?;
        }
        match missing(self, host).await?.into_iter().reduce(|all, name| format!("{all}, {name}")) {
            None => Ok(()),
            Some(names) => Err(HostError::Refused(format!(
                "none of the archives in spec.images holds {names}: add one that does"
            ))),
        }
    }
}

/// The images that the node needs and containerd lacks.
async fn missing(goal: &Images, host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let mut needed = of_release(goal, host).await?;
    needed.extend(goal.names.iter().map(|name| image_names::full(name)));
    let held = held(host).await?;
    needed.retain(|name| !held.contains(name));
    Ok(needed)
}

/// What kubeadm names for the version, as far as the node's role needs it.
async fn of_release(goal: &Images, host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let release = &goal.release;
    let version = release.version.to_string();
    let mut args = vec!["config", "images", "list", "--kubernetes-version", &version];
    if let Some(repository) = &release.image_repository {
        args.extend(["--image-repository", repository]);
    }
    let command = Command::new("kubeadm", &args);
    let listed = host.run_remembered(&command).await?.success(&command)?;
    let of_workers = ["kube-proxy", "coredns", "pause"];
    let needed =
        |name: &&str| release.control_plane || of_workers.contains(&image_names::base(name));
    let names = listed.lines().map(str::trim).filter(|name| !name.is_empty());
    Ok(names.filter(needed).map(image_names::full).collect())
}

/// The images that containerd holds for Kubernetes.
async fn held(host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let command = Command::new("ctr", &["--namespace=k8s.io", "images", "ls", "--quiet"]);
    let output = host.run(&command).await?;
    if output.status != 0 {
        let why = output.stderr.trim().to_owned();
        return Err(HostError::Silent { service: "containerd".to_owned(), source: why.into() });
    }
    Ok(output.stdout.lines().map(|line| line.trim().to_owned()).collect())
}

/// Whether an archive can help: it holds one of these, or does not tell what it holds.
fn holds_any(archive: &Archive, missing: &BTreeSet<String>) -> bool {
    let mut names = archive.names.iter().map(|name| image_names::full(name));
    !missing.is_empty() && (archive.names.is_empty() || names.any(|name| missing.contains(&name)))
}

/// Fetches an archive, checks it, imports it, and removes it again.
async fn import(host: &dyn Host, archive: &Archive, work: &Work<'_>) -> Result<(), HostError> {
    let path = format!("{FOLDER}/{}.tar.part", archive.sha256);
    let name = archive.url.rsplit('/').next().unwrap_or(&archive.url);
    // Fetched whole by an agent that died before it came to the import: as good as fetched now.
    if host.sha256(&path).await?.as_ref() != Some(&archive.sha256) {
        work.progress.doing(ActivityKind::Images, format!("fetching {name}"));
        fetch(host, archive, &path, work).await?;
    }
    work.progress.doing(ActivityKind::Images, format!("importing {name}"));
    let args = ["--namespace=k8s.io", "images", "import", &path];
    let command = Command::new("ctr", &args).within(DEADLINE);
    host.run_unit(&Unit::new(Profile::Client, command), work.progress).await?;
    host.remove(&path).await
}

async fn fetch(
    host: &dyn Host,
    archive: &Archive,
    path: &str,
    work: &Work<'_>,
) -> Result<(), HostError> {
    let mut args = vec!["--fail", "--silent", "--show-error", "--location", "--proto"];
    args.extend(["=http,https,file", "--proto-redir", "=http,https", "--connect-timeout", "10"]);
    // A line over which nothing has come for a minute is dead.
    args.extend(["--speed-limit", "1", "--speed-time", "60", "--create-dirs"]);
    args.extend(["--output", path, "--url", &archive.url]);
    let command = Command::new("curl", &args).within(DEADLINE);
    host.run_unit(&Unit::new(Profile::Client, command), work.progress).await?;
    match host.sha256(path).await? {
        Some(found) if found == archive.sha256 => Ok(()),
        found => {
            host.remove(path).await?;
            let found = found.map_or_else(|| "that of no file".to_owned(), |sha| sha.to_string());
            Err(HostError::Refused(format!(
                "the image archive {} is damaged or another one: its SHA-256 is {found}, the \
                 specification says {}. Nothing was imported; put the right archive there, or \
                 correct spec.images",
                archive.url, archive.sha256
            )))
        }
    }
}

async fn pull(host: &dyn Host, name: &str, work: &Work<'_>) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Images, format!("pulling {name}"));
    // The folder in which the kubelet's pulls find their mirrors, too.
    let mirrors = "--hosts-dir=/etc/containerd/certs.d";
    let args = ["--namespace=k8s.io", "images", "pull", mirrors, name];
    let command = Command::new("ctr", &args).within(DEADLINE);
    host.run_unit(&Unit::new(Profile::Client, command), work.progress).await
}

#[cfg(test)]
mod tests {
    use quorate_proto::Sha256;

    use super::*;

    #[test]
    fn an_archive_is_fetched_only_where_it_can_help() {
        let archive = |names: &[&str]| Archive {
            url: "http://mirror/a.tar".to_owned(),
            sha256: Sha256::of(b""),
            names: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let missing = BTreeSet::from(["docker.io/library/a:latest".to_owned()]);
        assert!(holds_any(&archive(&["b:1", "a"]), &missing));
        assert!(!holds_any(&archive(&["b:1"]), &missing));
        assert!(holds_any(&archive(&[]), &missing));
        assert!(!holds_any(&archive(&[]), &BTreeSet::new()));
    }
}
