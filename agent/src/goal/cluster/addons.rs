//! CoreDNS and kube-proxy are in the cluster as specified. That their pods run is `SystemPodsReady`.

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};
use serde_json::Value;

use super::kubectl;
use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::{config, phase};

const COREDNS: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
const KUBE_PROXY: &str = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy";
const KUBE_PROXY_CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";

pub(super) struct Addons<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for Addons<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for (what, path) in [
            ("Deployment coredns", COREDNS),
            ("DaemonSet kube-proxy", KUBE_PROXY),
            ("ConfigMap kube-proxy", KUBE_PROXY_CONFIG),
        ] {
            match read::get(host, read::own(self.0), path).await? {
                Reply::Found(object) => {
                    let drift = self.drift(path, &object);
                    if drift.is_none()
                        && path == KUBE_PROXY_CONFIG
                        && self.is_older(host, &object).await?
                    {
                        let what = "pods of kube-proxy";
                        let found = "run by an older configuration";
                        drifts.push(Drift::new(what, found, "restarted").in_use());
                    }
                    drifts.extend(drift);
                }
                Reply::Absent => drifts.push(Drift::new(what, "missing", "there")),
                Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
            }
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        phase::init(host, work, self.0, "addon all").await?;
        if let Reply::Found(map) = read::get(host, read::own(self.0), KUBE_PROXY_CONFIG).await?
            && self.is_older(host, &map).await?
        {
            return kubectl::restart(host, work, "kube-system", "daemonset/kube-proxy").await;
        }
        Ok(())
    }
}

impl Addons<'_> {
    async fn is_older(&self, host: &dyn Host, map: &Value) -> Result<bool, HostError> {
        let selector = "k8s-app%3Dkube-proxy";
        read::runs_older_config(host, read::own(self.0), map, "kube-system", selector).await
    }

    fn drift(&self, path: &str, object: &Value) -> Option<Drift> {
        let cluster = &self.0.cluster;
        match path {
            KUBE_PROXY => {
                let wanted = cluster.image("kube-proxy");
                let found = read::text(object, "/spec/template/spec/containers/0/image");
                (found != wanted).then(|| Drift::new("image of kube-proxy", found, wanted).in_use())
            }
            KUBE_PROXY_CONFIG => {
                let found = read::embedded(object, "config.conf");
                let lacking = config::lacks(&found, &config::object(&cluster.kube_proxy))?;
                let what = format!("{lacking} in ConfigMap kube-proxy");
                Some(Drift::new(what, "other", "as specified").in_use())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::goal::Entry;
    use serde_json::json;

    use super::*;
    use crate::kubeadm::sample;

    #[test]
    fn kube_proxy_is_compared_with_the_specification() {
        let node = sample::node(Entry::Founder);
        let addons = Addons(&node);
        let image = |image: &str| json!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        assert_eq!(addons.drift(KUBE_PROXY, &image("registry.k8s.io/kube-proxy:v1.35.4")), None);
        assert!(addons.drift(KUBE_PROXY, &image("registry.k8s.io/kube-proxy:v1.34.2")).is_some());

        let map = |yaml: &str| json!({"data": {"config.conf": yaml}});
        let as_specified = map("mode: nftables\nconntrack: {maxPerCore: 0, min: null}\n");
        assert_eq!(addons.drift(KUBE_PROXY_CONFIG, &as_specified), None);
        let other = addons.drift(KUBE_PROXY_CONFIG, &map("mode: iptables\nconntrack: {}\n"));
        assert_eq!(other.map(|drift| drift.what).as_deref(), Some("mode in ConfigMap kube-proxy"));
    }
}
