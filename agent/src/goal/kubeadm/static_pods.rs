//! The static pods of a control plane: the wanted version, at the node's own address.

use async_trait::async_trait;
use quorate_proto::goal::{Entry, KubeNode};
use quorate_proto::{Drift, Finding};
use serde_json::Value;

use super::guard;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{MANIFESTS, phase};

const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

pub(in crate::goal) struct StaticPods<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for StaticPods<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for component in COMPONENTS {
            let path = format!("{MANIFESTS}/{component}.yaml");
            match pod(host, &path).await? {
                None => drifts.push(Drift::new(path, "missing", self.0.cluster.image(component))),
                Some(pod) => drifts.extend(self.drifts(component, &path, &pod)),
            }
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        guard::refuse_stranger(host, self.0, work.material).await?;
        self.refuse_upgrade(host).await?;
        if self.0.entry == Entry::Founder {
            phase::init(host, work, self.0, "control-plane all").await
        } else {
            phase::join(host, work, self.0, "control-plane-prepare control-plane").await
        }
    }
}

impl StaticPods<'_> {
    fn drifts(&self, component: &str, path: &str, pod: &Pod) -> Vec<Drift> {
        let mut drifts = Vec::new();
        let image = self.0.cluster.image(component);
        if pod.image != image {
            drifts.push(Drift::new(format!("image of {path}"), &pod.image, image));
        }
        for (name, value) in self.arguments(component) {
            let prefix = format!("--{name}=");
            let found = pod.command.iter().find_map(|word| word.strip_prefix(&prefix));
            if found != Some(value.as_str()) {
                let found = found.unwrap_or("not set");
                drifts.push(Drift::new(format!("--{name} in {path}"), found, value));
            }
        }
        drifts
    }

    /// The arguments that the specification decides; kubeadm's own are left to kubeadm.
    fn arguments(&self, component: &str) -> Vec<(String, String)> {
        let extra = &self.0.cluster.extra_args;
        let set = match component {
            "kube-apiserver" => &extra.api_server,
            "kube-controller-manager" => &extra.controller_manager,
            _ => &extra.scheduler,
        };
        let set = set.iter().map(|(name, value)| (name.clone(), value.clone()));
        let own = [
            ("advertise-address".to_owned(), self.0.address.to_string()),
            ("secure-port".to_owned(), self.0.cluster.api_port.to_string()),
        ];
        let own = own.into_iter().filter(|(name, _)| !extra.api_server.contains_key(name));
        set.chain(own.filter(|_| component == "kube-apiserver")).collect()
    }

    /// Another version is an upgrade, which has an order of its own over all nodes.
    async fn refuse_upgrade(&self, host: &dyn Host) -> Result<(), HostError> {
        for component in COMPONENTS {
            let Some(pod) = pod(host, &format!("{MANIFESTS}/{component}.yaml")).await? else {
                continue;
            };
            let tag = pod.image.rsplit(':').next().unwrap_or_default();
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

/// A static pod, as far as it is looked at.
struct Pod {
    image: String,
    command: Vec<String>,
}

/// `None` where there is no such file, or it is no pod.
async fn pod(host: &dyn Host, path: &str) -> Result<Option<Pod>, HostError> {
    let content = host.read(path).await?.unwrap_or_default();
    let pod: Option<Value> = serde_saphyr::from_str(&String::from_utf8_lossy(&content)).ok();
    let container = pod.as_ref().and_then(|pod| pod.pointer("/spec/containers/0"));
    Ok(container.map(|container| Pod {
        image: text(container.get("image")),
        command: container
            .get("command")
            .and_then(Value::as_array)
            .map(|words| words.iter().map(|word| text(Some(word))).collect())
            .unwrap_or_default(),
    }))
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}
