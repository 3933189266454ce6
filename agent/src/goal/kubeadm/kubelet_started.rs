//! The kubelet runs, now and after a boot, with kubeadm's configuration, and has an identity or the means to ask for one.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{ActivityKind, Drift, Finding};
use serde_json::Value;

use super::{guard, pods};
use crate::goal::host::service_running::ServiceState;
use crate::goal::replacement::{self, Replacement};
use crate::goal::{Ensure, Work};
use crate::host::{Command, Host, HostError};
use crate::kubeadm::{
    BOOTSTRAP_CONF, KUBELET_CONF, KUBELET_CONFIG, KUBELET_FLAGS, KUBELET_PEM, config,
    kubelet_flags, manifest, phase, render,
};

const KUBELET: &str = "kubelet";
/// A kubelet with a bad setting ends within two seconds, on a slow machine.
const STAYING: Duration = Duration::from_secs(8);

pub(super) struct KubeletStarted<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for KubeletStarted<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        if let Some(why) = guard::stranger(host, self.0, self.0.cluster.ca.as_ref()).await? {
            return Ok(Finding::Refused { why });
        }
        let mut drifts = Vec::new();
        match (host.read(KUBELET_CONFIG).await?, host.read(KUBELET_FLAGS).await?) {
            (Some(config), Some(flags)) => {
                drifts.extend(self.settings(host, &config, &flags).await?);
            }
            (None, _) => drifts.push(Drift::new(KUBELET_CONFIG, "missing", "there")),
            (_, None) => drifts.push(Drift::new(KUBELET_FLAGS, "missing", "there")),
        }
        let identity = host.read(KUBELET_CONF).await?.is_some();
        if !identity && host.read(BOOTSTRAP_CONF).await?.is_none() {
            drifts.push(Drift::new("the kubelet's identity", "none", "one, or a token to ask by"));
        }
        drifts.extend(ServiceState::of(host, KUBELET).await?.drifts(KUBELET));
        let kept = Replacement { name: KUBELET, files: &[] };
        if drifts.is_empty() && kept.is_open(host).await? {
            drifts.push(Drift::new(KUBELET_CONFIG, "not proved to work yet", "in use").in_use());
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let node = self.0;
        guard::refuse_stranger(host, node, work.material).await?;
        if node.entry == Entry::Worker && guard::is_pristine(host).await? {
            phase::join(host, work, node, "preflight").await?;
        }
        // Its package leaves that to the administrator, and kubeadm only warns: without it a control
        // plane that reboots stays down.
        ServiceState::of(host, KUBELET).await?.enable(host, KUBELET).await?;
        if self.check(host).await?.is_satisfied() {
            return Ok(());
        }
        start(host, work, node).await
    }
}

impl KubeletStarted<'_> {
    /// How the kubelet's files differ from those that kubeadm would write, or the process from its files.
    async fn settings(
        &self,
        host: &dyn Host,
        config: &[u8],
        flags: &[u8],
    ) -> Result<Vec<Drift>, HostError> {
        let rendered = render::rendered(host, self.0).await?;
        let wanted = manifest::yaml(rendered.kubelet_config.as_bytes());
        let wanted_args = kubelet_flags(rendered.kubelet_flags.as_bytes());
        let found = manifest::yaml(config);
        let text =
            |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
        let mut drifts: Vec<Drift> = config::differences(&found, &wanted)
            .into_iter()
            .map(|path| {
                let pointer = format!("/{}", path.replace('.', "/"));
                let (found, wanted) = (found.pointer(&pointer), wanted.pointer(&pointer));
                let what = format!("{path} in {KUBELET_CONFIG}");
                Drift::new(what, text(found), text(wanted)).in_use()
            })
            .collect();
        for (name, found, wanted) in pods::differing(&kubelet_flags(flags), &wanted_args, &[]) {
            let what = format!("--{name} in {KUBELET_FLAGS}");
            drifts.push(Drift::new(what, found, wanted).in_use());
        }
        if drifts.is_empty() {
            // Its unit adds arguments of its own, and /etc/default/kubelet may.
            for words in host.processes(KUBELET).await? {
                let runs = manifest::args(words.iter().map(String::as_str));
                let own = runs.into_iter().filter(|(name, _)| wanted_args.contains_key(name));
                for (name, found, wanted) in pods::differing(&own.collect(), &wanted_args, &[]) {
                    let what = format!("--{name} of the running kubelet");
                    drifts.push(Drift::new(what, found, wanted).in_use());
                }
            }
        }
        Ok(drifts)
    }
}

/// Writes the kubelet's configuration and restarts it.
///
/// A node that has its certificate is not joined again: the join would ask the cluster for another, and is
/// refused where the node is Ready. That kubelet.conf is there says nothing: a kubelet writes it before it
/// has what the file names.
async fn start(host: &dyn Host, work: &Work<'_>, node: &KubeNode) -> Result<(), HostError> {
    if host.read(KUBELET_PEM).await?.is_some() {
        configure(host, work, node).await
    } else if node.entry == Entry::Founder {
        phase::init(host, work, node, "kubelet-start").await
    } else {
        phase::join(host, work, node, "kubelet-start").await
    }
}

/// As kubeadm's kubelet-start does it, which refuses to run on a worker that has joined. The kubelet is down
/// while its files change, so that it never runs by older ones than a check sees.
async fn configure(host: &dyn Host, work: &Work<'_>, node: &KubeNode) -> Result<(), HostError> {
    let rendered = render::rendered(host, node).await?;
    work.progress.doing(ActivityKind::Own, "configuring the kubelet");
    let files = [KUBELET_CONFIG, KUBELET_FLAGS].map(|path| (path.to_owned(), 0o644));
    let replaced = Replacement { name: KUBELET, files: &files };
    let systemctl = |verb| Command::new("systemctl", &[verb, KUBELET]);
    replaced.keep(host).await?;
    host.output_of(&systemctl("stop")).await?;
    host.write(KUBELET_CONFIG, rendered.kubelet_config.as_bytes(), 0o644).await?;
    host.write(KUBELET_FLAGS, rendered.kubelet_flags.as_bytes(), 0o644).await?;
    host.output_of(&systemctl("start")).await?;
    if let Err(error) = stays(host, work).await {
        host.output_of(&systemctl("stop")).await?;
        replaced.restore(host).await?;
        host.output_of(&systemctl("start")).await?;
        replaced.close(host).await?;
        return Err(replacement::undone(node.node.as_str(), "the kubelet", &error));
    }
    replaced.close(host).await
}

/// Waits until the kubelet has run for a while: one that cannot read its configuration ends at once, and
/// systemd starts it again and again.
async fn stays(host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
    work.progress.doing(ActivityKind::Wait, "waiting until the kubelet goes on running");
    let first = ServiceState::of(host, KUBELET).await?;
    host.pause(STAYING).await;
    let now = ServiceState::of(host, KUBELET).await?;
    if now.active() && now.invocation == first.invocation {
        return Ok(());
    }
    Err(HostError::InVain(
        "the kubelet ended right after its start, see `journalctl -u kubelet`".to_owned(),
    ))
}
