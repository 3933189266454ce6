//! containerd is configured for the kubelet and runs with that configuration. The whole file is
//! quorate's. Its form depends on the containerd that is installed: version 2 up to 1.7, 3 from 2.0.
//!
//! That a restart is due must survive an agent that dies between the writing and the restart. So before
//! the file is written, the run of containerd that does not know it is noted in /run, by systemd's
//! invocation id. A containerd of that id still runs by the older file; a boot forgets the note.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::Containerd;
use quorate_proto::{ActivityKind, Drift, Finding};

use crate::goal::host::service_running::ServiceState;
use crate::goal::{Ensure, Work, own_file};
use crate::host::{Command, Host, HostError};

const CONFIG: &str = "/etc/containerd/config.toml";
const OLD_RUN: &str = "/run/quorate/containerd-of-older-config";
const UNIT: &str = "containerd";

#[async_trait]
impl Ensure for Containerd {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let Some(release) = Release::installed(host).await? else {
            let found = host.text(CONFIG).await?;
            let found = if found.is_some() { "containerd is not installed" } else { "not there" };
            return Ok(Finding::from_drifts(vec![Drift::new(CONFIG, found, summary(self))]));
        };
        let mut drifts = Vec::new();
        let wanted = config(self, release);
        let drift = own_file::drift(host, CONFIG, &wanted, summary(self)).await?;
        drifts.extend(drift.map(Drift::in_use));
        let service = ServiceState::of(host, UNIT).await?;
        if !service.active() {
            drifts.push(Drift::new("service containerd", "not active", "active"));
        } else if drifts.is_empty() && restart_due(host, &service).await? {
            let what = "service containerd";
            drifts.push(Drift::new(what, "runs by an older configuration", "restarted"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        work.progress.doing(ActivityKind::Own, "configuring containerd");
        let Some(release) = Release::installed(host).await? else {
            return Err(HostError::Refused(
                "containerd is not installed: add its package to spec.packages".to_owned(),
            ));
        };
        let service = ServiceState::of(host, UNIT).await?;
        let wanted = config(self, release);
        let former = host.text(CONFIG).await?;
        if former.as_deref() != Some(&wanted) {
            host.write(OLD_RUN, service.invocation.as_bytes(), 0o600).await?;
            host.write(CONFIG, wanted.as_bytes(), 0o644).await?;
        }
        if service.active() && !restart_due(host, &service).await? {
            return Ok(());
        }
        work.progress.doing(ActivityKind::Own, "restarting containerd");
        let restart = Command::new("systemctl", &["restart", "--", "containerd.service"]);
        let restart = restart.within(RESTART_DEADLINE);
        match (host.output_of(&restart).await, former) {
            (Ok(_), _) => Ok(()),
            // Pods must not stay without a runtime for a setting.
            (Err(error @ HostError::Failed { .. }), Some(former)) if former != wanted => {
                host.write(CONFIG, former.as_bytes(), 0o644).await?;
                host.output_of(&restart).await?;
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// systemd itself gives up on a service that has not started after 90 s.
const RESTART_DEADLINE: Duration = Duration::from_secs(100);

fn summary(goal: &Containerd) -> String {
    let driver = if goal.systemd_cgroup { "systemd" } else { "cgroupfs" };
    format!("sandbox image {}, cgroups by {driver}", goal.sandbox_image)
}

async fn restart_due(host: &dyn Host, service: &ServiceState) -> Result<bool, HostError> {
    Ok(host.text(OLD_RUN).await?.is_some_and(|older| older == service.invocation))
}

/// containerd's version, as far as its configuration depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Release {
    major: u32,
    minor: u32,
}

impl Release {
    /// Of the installed containerd; `None` where there is none.
    async fn installed(host: &dyn Host) -> Result<Option<Self>, HostError> {
        let command = Command::new(UNIT, &["--version"]);
        let printed = match host.run_remembered(&command).await {
            Err(error) if error.program_missing() => return Ok(None),
            other => other?.success(&command)?,
        };
        let release = Self::parse(&printed).ok_or_else(|| {
            HostError::Refused(format!(
                "`containerd --version` printed {:?}, which names no version that quorate knows",
                printed.trim()
            ))
        })?;
        Ok(Some(release))
    }

    /// Reads `containerd PACKAGE VERSION COMMIT`; distributions put their own words after these.
    fn parse(printed: &str) -> Option<Self> {
        let version = printed.split_whitespace().nth(2)?;
        let mut numbers = version.trim_start_matches('v').split('.');
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { major: number()?, minor: number()? })
    }
}

fn config(goal: &Containerd, release: Release) -> String {
    let sandbox = toml_string(&goal.sandbox_image);
    let Containerd { systemd_cgroup, restrict_oom_score_adj, .. } = goal;
    if release.major < 2 {
        return format!(
            r#"# Written by quorate: changes to this file are overwritten.
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {sandbox}
  restrict_oom_score_adj = {restrict_oom_score_adj}

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = {systemd_cgroup}
"#
        );
    }
    // 2.1 takes a list, and 2.3 takes nothing else.
    let bin_dir = if release >= (Release { major: 2, minor: 1 }) {
        r#"bin_dirs = ["/opt/cni/bin"]"#
    } else {
        r#"bin_dir = "/opt/cni/bin""#
    };
    format!(
        r#"# Written by quorate: changes to this file are overwritten.
version = 3

[plugins."io.containerd.cri.v1.images"]
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = {sandbox}

  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {restrict_oom_score_adj}

  [plugins."io.containerd.cri.v1.runtime".cni]
    {bin_dir}
    conf_dir = "/etc/cni/net.d"

  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
      SystemdCgroup = {systemd_cgroup}
"#
    )
}

/// A JSON string is a basic string of TOML.
fn toml_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_each_packager_prints() {
        let read = |printed| Release::parse(printed).map(|found| (found.major, found.minor));
        let debian = "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1\n";
        assert_eq!(read(debian), Some((1, 6)));
        assert_eq!(read("containerd containerd.io 1.7.24 88bf19b\n"), Some((1, 7)));
        let upstream = "containerd github.com/containerd/containerd/v2 v2.1.0-rc.1 061792f\n";
        assert_eq!(read(upstream), Some((2, 1)));
        assert_eq!(read("containerd: command not understood"), None);
    }

    #[test]
    fn each_containerd_gets_the_form_that_it_reads() {
        let goal = Containerd {
            sandbox_image: "registry.k8s.io/pause:3.10.1".to_owned(),
            systemd_cgroup: true,
            restrict_oom_score_adj: false,
        };
        let of = |major, minor| config(&goal, Release { major, minor });
        assert!(of(1, 6).contains("version = 2\n"));
        assert!(of(1, 7).contains("sandbox_image = \"registry.k8s.io/pause:3.10.1\"\n"));
        assert!(of(2, 0).contains("version = 3\n") && of(2, 0).contains("bin_dir = "));
        assert!(of(2, 2).contains("bin_dirs = [\"/opt/cni/bin\"]\n"));
        assert!(
            of(1, 6).contains("SystemdCgroup = true\n")
                && of(2, 2).contains("SystemdCgroup = true\n")
        );
        assert!(of(2, 2).contains("sandbox = \"registry.k8s.io/pause:3.10.1\"\n"));
    }
}
