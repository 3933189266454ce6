//! The cluster holds its own configuration, which joining nodes read.

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};
use serde_json::{Value, json};

use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{config, phase};

const KUBEADM: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
const KUBELET: &str = "/api/v1/namespaces/kube-system/configmaps/kubelet-config";

pub(super) struct ClusterConfig<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for ClusterConfig<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = match read::get(host, read::own(self.0), KUBEADM).await? {
            Reply::Found(map) => self.drifts(&map),
            Reply::Absent => vec![Drift::new("ConfigMap kubeadm-config", "missing", "there")],
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        };
        match read::get(host, read::own(self.0), KUBELET).await? {
            Reply::Found(map) => {
                let found = read::embedded(&map, "kubelet");
                let lacking = config::lacks(&found, &config::kubelet(&self.0.cluster));
                let what = |path| format!("{path} in ConfigMap kubelet-config");
                drifts.extend(lacking.map(|path| Drift::new(what(path), "other", "as specified")));
            }
            Reply::Absent => {
                drifts.push(Drift::new("ConfigMap kubelet-config", "missing", "there"));
            }
            Reply::NoRights => drifts.push(read::no_rights()),
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        if let Reply::Found(map) = read::get(host, read::own(self.0), KUBEADM).await?
            && let Some(drift) = self.fixed_drifts(&map).first()
        {
            return Err(HostError::Refused(format!(
                "the cluster was initialised with {} {:?} and cluster.yaml says {:?}: `quorate apply` does \
                 not change that; set it back in cluster.yaml",
                drift.what, drift.found, drift.wanted
            )));
        }
        phase::init(host, work, self.0, "upload-config all").await
    }
}

impl ClusterConfig<'_> {
    /// What joining nodes would read that is not as specified.
    fn drifts(&self, map: &Value) -> Vec<Drift> {
        let found = read::embedded(map, "ClusterConfiguration");
        let lacking = config::lacks(&found, &config::stored(&self.0.cluster));
        let what = |path| format!("{path} in ConfigMap kubeadm-config");
        lacking.map(|path| Drift::new(what(path), "other", "as specified")).into_iter().collect()
    }

    /// What differs from the cluster's beginning, which no later phase of kubeadm would change.
    fn fixed_drifts(&self, map: &Value) -> Vec<Drift> {
        let cluster = &self.0.cluster;
        let found = read::embedded(map, "ClusterConfiguration");
        let wanted = [
            ("/kubernetesVersion", json!(cluster.version.to_string())),
            ("/controlPlaneEndpoint", json!(cluster.endpoint.to_string())),
            ("/networking/podSubnet", json!(cluster.pod_subnet.to_string())),
            ("/networking/serviceSubnet", json!(cluster.service_subnet.to_string())),
            ("/networking/dnsDomain", json!(cluster.dns_domain)),
        ];
        let differs = |(pointer, wanted): &(&str, Value)| found.pointer(pointer) != Some(wanted);
        let drift = |(pointer, wanted): (&str, Value)| {
            let wanted = wanted.as_str().unwrap_or_default();
            let name = pointer.trim_start_matches('/').replace('/', ".");
            Drift::new(name, read::text(&found, pointer), wanted)
        };
        wanted.into_iter().filter(differs).map(drift).collect()
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::goal::Entry;

    use super::*;
    use crate::kubeadm::sample;

    #[test]
    fn what_the_cluster_was_founded_with_is_compared() {
        let node = sample::node(Entry::Founder);
        let yaml = "kubernetesVersion: v1.35.4\ncontrolPlaneEndpoint: 10.77.0.10:6443\n\
                    networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12, \
                    dnsDomain: cluster.local}\n";
        let map = |yaml: &str| json!({"data": {"ClusterConfiguration": yaml}});
        assert_eq!(ClusterConfig(&node).fixed_drifts(&map(yaml)), []);
        let other = yaml.replace("10.244.0.0/16", "10.1.0.0/16");
        assert_eq!(
            ClusterConfig(&node).fixed_drifts(&map(&other)),
            [Drift::new("networking.podSubnet", "10.1.0.0/16", "10.244.0.0/16")]
        );
    }

    #[test]
    fn stored_settings_are_compared_removed_ones_too() {
        let node = sample::node(Entry::Founder);
        let stored = config::stored(&node.cluster);
        let drifts = |config: &Value| {
            let map = json!({"data": {"ClusterConfiguration": config.to_string()}});
            let drifts = ClusterConfig(&node).drifts(&map);
            drifts.into_iter().map(|drift| drift.what).collect::<Vec<_>>()
        };
        assert_eq!(drifts(&stored), [""; 0]);
        for path in ["apiServer.certSANs", "scheduler.extraArgs", "etcd.local.extraArgs"] {
            let mut other = stored.clone();
            let pointer = format!("/{}", path.replace('.', "/"));
            *other.pointer_mut(&pointer).unwrap() = json!([{"name": "v", "value": "4"}]);
            assert_eq!(drifts(&other), [format!("{path} in ConfigMap kubeadm-config")]);
        }
    }
}
