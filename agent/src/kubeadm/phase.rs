//! Runs one phase of kubeadm as a unit of its own.

use std::time::Duration;

use quorate_proto::goal::KubeNode;
use quorate_proto::{ActivityKind, JoinMaterial, Secret};

use super::config;
use crate::goal::Work;
use crate::host::{Command, Host, HostError, Unit};

/// Longer than the longest of kubeadm's own timeouts in [`config`], twice over: a phase waits for at
/// most two things in turn.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Runs `kubeadm init phase PHASE`, with the material if the order brought any.
pub async fn init(
    host: &dyn Host,
    work: &Work<'_>,
    node: &KubeNode,
    phase: &str,
) -> Result<(), HostError> {
    run(host, work, &format!("init phase {phase}"), config::init_files(node, work.material)).await
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
    run(host, work, &format!("join phase {phase}"), files).await
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

async fn run(
    host: &dyn Host,
    work: &Work<'_>,
    phase: &str,
    files: Vec<(String, Secret)>,
) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Kubeadm, format!("kubeadm {phase}"));
    let config = format!("{{dir}}/{}", config::CONFIG_FILE);
    let args: Vec<&str> = phase.split(' ').chain(["--config", &config]).collect();
    let command = Command { deadline: DEADLINE, ..Command::new("kubeadm", &args) };
    host.run_unit(&Unit { command, files }, work.progress).await
}
