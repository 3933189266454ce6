//! The static pods of a control plane: the wanted version, at the node's own address.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{ActivityKind, Drift, Finding};

use super::{ApiServerReady, guard, pods};
use crate::goal::cluster::read::{self, Reply};
use crate::goal::replacement::{self, Replacement};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};
use crate::kubeadm::{MANIFESTS, manifest, phase, render};

const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The kubelet stops the old process within its grace period of 30 s, and starts the new one.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct StaticPods<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for StaticPods<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        let mut present = Vec::new();
        for component in COMPONENTS {
            match manifest::read(host, component).await? {
                Some(pod) => present.push((component, pod)),
                None => {
                    let (path, image) =
                        (manifest::path(component), self.0.cluster.image(component));
                    drifts.push(Drift::new(path, "missing", image));
                }
            }
        }
        if !present.is_empty() {
            let rendered = render::rendered(host, self.0).await?;
            for (component, pod) in present {
                let wanted = rendered.pod(component).cloned().unwrap_or_default();
                let differing = pods::drifts(component, &pod, &wanted, &[]);
                if differing.is_empty() {
                    drifts.extend(pods::process_drifts(host, component, &wanted.args, &[]).await?);
                }
                drifts.extend(differing);
            }
        }
        let kept = Replacement { name: "static-pods", files: &[] };
        if drifts.is_empty() && kept.is_open(host).await? {
            let what = format!("the changed manifests in {MANIFESTS}");
            drifts.push(Drift::new(what, "not proved to work yet", "serving").in_use());
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        guard::refuse_stranger(host, self.0, work.material).await?;
        self.refuse_upgrade(host).await?;
        // A join would write the same, and needs a token and an API server that answers.
        let files = COMPONENTS.map(|component| (manifest::path(component), 0o600));
        let replaced = Replacement { name: "static-pods", files: &files };
        let proving = replaced.is_open(host).await?;
        if !proving && !self.check(host).await?.is_in_use() {
            return phase::init(host, work, self.0, "control-plane all").await;
        }
        replaced.keep(host).await?;
        let changed = async {
            phase::init(host, work, self.0, "control-plane all").await?;
            Serving(self.0).proved(host, work).await
        };
        if let Err(error) = changed.await {
            work.progress.doing(ActivityKind::Own, "putting the former manifests back");
            replaced.restore(host).await?;
            Serving(self.0).ready(host, work).await?;
            replaced.close(host).await?;
            return Err(replacement::undone(self.0.node.as_str(), "the control plane", &error));
        }
        replaced.close(host).await
    }
}

impl StaticPods<'_> {
    /// Another version is an upgrade, which has an order of its own over all nodes.
    async fn refuse_upgrade(&self, host: &dyn Host) -> Result<(), HostError> {
        for component in COMPONENTS {
            let Some(pod) = manifest::read(host, component).await? else { continue };
            let tag = pod.tag();
            let wanted = self.0.cluster.version.to_string();
            if tag != wanted {
                return Err(HostError::Refused(format!(
                    "{} runs {component} {tag} and the specification says {wanted}: `quorate \
                     apply` does not upgrade. Set the version back to {tag}",
                    self.0.node
                )));
            }
        }
        Ok(())
    }
}

/// The control plane's pods of a node, after a change of their manifests.
struct Serving<'a>(&'a KubeNode);

impl Serving<'_> {
    /// Waits until they run by their manifests and serve.
    async fn proved(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let what = format!("the control plane's pods of {} run by their manifests", self.0.node);
        wait::until(&Running, host, work, &what, PATIENCE).await?;
        self.ready(host, work).await
    }

    /// Waits until they serve.
    async fn ready(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let what = format!("the API server of {} is ready", self.0.node);
        wait::until(&ApiServerReady(self.0), host, work, &what, PATIENCE).await?;
        let what = format!("the control plane's pods of {} are ready", self.0.node);
        wait::until(self, host, work, &what, PATIENCE).await
    }
}

#[async_trait]
impl Ensure for Serving<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for component in COMPONENTS {
            let path = format!("/api/v1/namespaces/kube-system/pods/{component}-{}", self.0.node);
            let ready = match read::get(host, read::own(self.0), &path).await? {
                Reply::Found(pod) => read::condition(&pod, "Ready")
                    .is_some_and(|ready| read::text(ready, "/status") == "True"),
                Reply::Absent | Reply::NoRights => false,
            };
            if !ready {
                drifts.push(Drift::new(format!("pod {component}"), "not ready", "ready"));
            }
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}

/// Whether each component's process has the arguments of its manifest.
struct Running;

#[async_trait]
impl Ensure for Running {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for component in COMPONENTS {
            let wanted = manifest::read(host, component).await?.unwrap_or_default();
            if host.processes(component).await?.is_empty() {
                drifts.push(Drift::new(format!("process {component}"), "none", "running"));
            }
            drifts.extend(pods::process_drifts(host, component, &wanted.args, &[]).await?);
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, _: &dyn Host, _: &Work<'_>) -> Result<(), HostError> {
        Ok(())
    }
}
