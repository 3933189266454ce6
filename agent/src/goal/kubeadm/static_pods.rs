//! The static pods of a control plane: the wanted version, at the node's own address.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};

use super::{guard, pods};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};
use crate::kubeadm::{manifest, phase, render};

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
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        guard::refuse_stranger(host, self.0, work.material).await?;
        self.refuse_upgrade(host).await?;
        // A join would write the same, and needs a token and an API server that answers.
        phase::init(host, work, self.0, "control-plane all").await?;
        let what = format!("the control plane's pods of {} run by their manifests", self.0.node);
        wait::until(self, host, work, &what, PATIENCE).await
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
