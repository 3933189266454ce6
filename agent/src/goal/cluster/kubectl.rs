//! What goals have kubectl do, as the cluster's administrator.

use std::time::Duration;

use quorate_proto::{ActivityKind, Secret};

use crate::goal::Work;
use crate::host::{Command, Host, HostError, Profile, Unit};
use crate::kubeadm::ADMIN_CONF;

/// A handful of objects; most of the time kubectl learns what the API serves.
const APPLY: Duration = Duration::from_secs(180);
/// Pods of a DaemonSet restart one node at a time.
const ROLLOUT: Duration = Duration::from_secs(540);

/// Applies a manifest, over what others have set.
pub(super) async fn apply(
    host: &dyn Host,
    work: &Work<'_>,
    file: &str,
    content: String,
) -> Result<(), HostError> {
    let path = format!("{{dir}}/{file}");
    let args =
        ["apply", "--server-side", "--force-conflicts", "--field-manager=quorate", "-f", &path];
    let files = vec![(file.to_owned(), Secret::new(content))];
    run(host, work, &args, files, APPLY).await
}

/// Restarts the pods of a workload such as `daemonset/kube-proxy`, and waits until the new ones run.
pub(super) async fn restart(
    host: &dyn Host,
    work: &Work<'_>,
    namespace: &str,
    workload: &str,
) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Wait, format!("kubectl rollout restart {workload}"));
    let args = ["--namespace", namespace, "rollout", "restart", workload];
    run(host, work, &args, Vec::new(), APPLY).await?;
    let args = ["--namespace", namespace, "rollout", "status", workload];
    run(host, work, &args, Vec::new(), ROLLOUT).await
}

/// Runs kubectl to its end; files are in its unit's folder.
pub(super) async fn run(
    host: &dyn Host,
    work: &Work<'_>,
    args: &[&str],
    files: Vec<(String, Secret)>,
    deadline: Duration,
) -> Result<(), HostError> {
    let args: Vec<&str> = ["--kubeconfig", ADMIN_CONF].iter().chain(args).copied().collect();
    let command = Command::new("kubectl", &args).within(deadline);
    host.run_unit(&Unit::new(Profile::Client, command).with_files(files), work.progress).await
}
