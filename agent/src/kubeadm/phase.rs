//! Runs one phase of kubeadm as a unit of its own.

use std::time::Duration;

use quorate_proto::goal::KubeNode;
use quorate_proto::{ActivityKind, JoinMaterial, Secret};

use super::config;
use super::dialect::Dialect;
use crate::host::{Command, Host, HostError, Profile, Unit};
use crate::work::Work;

/// Longer than the longest of kubeadm's own timeouts in [`config`], twice over: a phase waits for at
/// most two things in turn.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Each API server learns of a new token by its own watch; until then it refuses it.
const SPREADING: Duration = Duration::from_secs(15);
/// A node that was reset counts as Ready until the controller manager misses its kubelet: 50 s, 40 s up
/// to 1.31. kubeadm does not let it join before.
const FORGETTING: Duration = Duration::from_secs(90);

/// Runs `kubeadm init phase PHASE`, with the material if the order brought any.
pub async fn init(
    host: &dyn Host,
    work: &Work<'_>,
    node: &KubeNode,
    phase: &str,
) -> Result<(), HostError> {
    let command = format!("init phase {phase}");
    announce(work, &command);
    run(host, work, &command, config::init_files(node, work.material)).await
}

/// Runs `kubeadm join phase PHASE`, which needs the material to speak to the cluster.
pub async fn join(
    host: &dyn Host,
    work: &Work<'_>,
    node: &KubeNode,
    phase: &str,
) -> Result<(), HostError> {
    let files = config::join_files(node, material(work)?).ok_or_else(|| {
        HostError::Refused(
            "the order came without the cluster's certificate authority: run `quorate apply` again, \
             once the first control plane is founded"
                .to_owned(),
        )
    })?;
    let command = Dialect::of(node.cluster.version).join(node.entry, phase);
    announce(work, &command);
    let begun_ms = host.uptime_ms();
    loop {
        let outcome = run(host, work, &command, files.clone()).await;
        let Err(HostError::Failed { output, .. }) = &outcome else { return outcome };
        let Some(patience) = patience(output) else { return outcome };
        if u128::from(host.uptime_ms().saturating_sub(begun_ms)) >= patience.as_millis() {
            return outcome;
        }
        host.pause(Duration::from_millis(500)).await;
    }
}

/// Returns a kubeconfig of the node's own, signed by the cluster's authority on this control plane.
pub async fn node_kubeconfig(
    host: &dyn Host,
    work: &Work<'_>,
    node: &KubeNode,
) -> Result<Secret, HostError> {
    let name = format!("system:node:{}", node.node);
    let args = ["kubeconfig", "user", "--org", "system:nodes", "--client-name", &name];
    announce(work, &args.join(" "));
    let args: Vec<&str> = args.into_iter().chain(["--config", "/dev/stdin"]).collect();
    let stdin = Some(Secret::new(config::init(node, None)));
    let command = Command { stdin, ..Command::new("kubeadm", &args) };
    host.output_of(&command).await.map(Secret::new)
}

/// How long a phase that failed like this is worth another try.
fn patience(output: &[String]) -> Option<Duration> {
    let says =
        |text: &str| output.iter().any(|line| line.starts_with("error") && line.contains(text));
    if says("Unauthorized") {
        return Some(SPREADING);
    }
    says("already exists in the cluster").then_some(FORGETTING)
}

/// The material of the order.
pub fn material<'a>(work: &Work<'a>) -> Result<&'a JoinMaterial, HostError> {
    work.material.ok_or_else(|| {
        HostError::Refused(
            "the order came without join material: run `quorate apply` again, which mints it"
                .to_owned(),
        )
    })
}

fn announce(work: &Work<'_>, command: &str) {
    work.progress.doing(ActivityKind::Kubeadm, format!("kubeadm {command}"));
}

async fn run(
    host: &dyn Host,
    work: &Work<'_>,
    command: &str,
    files: Vec<(String, Secret)>,
) -> Result<(), HostError> {
    let config = format!("{{dir}}/{}", config::CONFIG_FILE);
    let args: Vec<&str> = command.split(' ').chain(["--config", &config]).collect();
    let command = Command { deadline: DEADLINE, ..Command::new("kubeadm", &args) };
    host.run_unit(&Unit::new(Profile::Kubeadm, command).with_files(files), work.progress).await
}
