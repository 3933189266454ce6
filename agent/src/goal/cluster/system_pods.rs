//! What the cluster itself runs is ready: static pods of every control plane, addons, the network.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{Drift, Finding};
use serde_json::Value;

use super::network;
use super::read::{self, Reply};
use crate::goal::{Ensure, Work, wait};
use crate::host::{ApiServer, Host, HostError};

/// The slowest is CoreDNS, which waits for the network and may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(300);

const NODES: &str = "/api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane";
const STATIC_PODS: &str = "/api/v1/namespaces/kube-system/pods?labelSelector=tier%3Dcontrol-plane";
const COMPONENTS: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

pub(super) struct SystemPodsReady;

#[async_trait]
impl Ensure for SystemPodsReady {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let mut drifts = Vec::new();
        for namespace in namespaces(host).await? {
            let apps = format!("/apis/apps/v1/namespaces/{namespace}");
            let sets = list(host, &format!("{apps}/daemonsets")).await?;
            drifts.extend(read::items(&sets).iter().filter_map(daemon_set));
            let deployments = list(host, &format!("{apps}/deployments")).await?;
            drifts.extend(read::items(&deployments).iter().filter_map(deployment));
        }
        let (nodes, pods) = (list(host, NODES).await?, list(host, STATIC_PODS).await?);
        drifts.extend(static_pods(read::items(&nodes), read::items(&pods)));
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "all system pods are ready", PATIENCE).await
    }
}

/// kube-system, and where the network's workloads live.
async fn namespaces(host: &dyn Host) -> Result<BTreeSet<String>, HostError> {
    let mut namespaces = BTreeSet::from(["kube-system".to_owned()]);
    if let Reply::Found(record) = read::get(host, ApiServer::Own, network::RECORD).await? {
        let named = read::text(&record, "/data/namespaces").split(',');
        namespaces.extend(named.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(namespaces)
}

async fn list(host: &dyn Host, path: &str) -> Result<Value, HostError> {
    match read::get(host, ApiServer::Own, path).await? {
        Reply::Found(list) => Ok(list),
        Reply::Absent => Ok(Value::Null),
        Reply::NoRights => Err(HostError::NotYet(
            "the administrator may not read the cluster yet: kubeadm grants that when it marks the \
             first control plane"
                .to_owned(),
        )),
    }
}

fn daemon_set(set: &Value) -> Option<Drift> {
    let status = |key: &str| number(set, &format!("/status/{key}"));
    let (desired, ready) = (status("desiredNumberScheduled"), status("numberReady"));
    let seen = status("observedGeneration") == number(set, "/metadata/generation");
    let found = if !seen || status("updatedNumberScheduled") < desired {
        "not rolled out yet".to_owned()
    } else if ready < desired {
        format!("{ready} ready")
    } else {
        return None;
    };
    Some(Drift::new(label("DaemonSet", set), found, format!("{desired} ready")))
}

fn deployment(deployment: &Value) -> Option<Drift> {
    let wanted =
        deployment.pointer("/spec/replicas").map_or(1, |_| number(deployment, "/spec/replicas"));
    let ready = number(deployment, "/status/readyReplicas");
    (ready < wanted).then(|| {
        let found = format!("{ready} ready");
        Drift::new(label("Deployment", deployment), found, format!("{wanted} ready"))
    })
}

/// Each control plane's four pods. A kubelet that is gone leaves its mirror pods behind as ready
/// until the controllers notice; the node is then not Ready, which is another goal.
fn static_pods(nodes: &[Value], pods: &[Value]) -> Vec<Drift> {
    let ready = |name: &str| {
        let pod = pods.iter().find(|pod| read::text(pod, "/metadata/name") == name);
        pod.and_then(|pod| read::condition(pod, "Ready"))
            .is_some_and(|ready| read::text(ready, "/status") == "True")
    };
    let names = nodes.iter().map(|node| read::text(node, "/metadata/name"));
    let wanted = names.flat_map(|node| COMPONENTS.map(|component| format!("{component}-{node}")));
    wanted
        .filter(|name| !ready(name))
        .map(|name| Drift::new(format!("pod {name}"), "not ready", "ready"))
        .collect()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn label(kind: &str, object: &Value) -> String {
    let namespace = read::text(object, "/metadata/namespace");
    format!("{kind} {} in {namespace}", read::text(object, "/metadata/name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_daemon_set_is_ready_on_every_node_and_in_its_newest_form() {
        let set = |ready: u64, updated: u64, seen: u64| {
            json!({"metadata": {"name": "kube-proxy", "namespace": "kube-system", "generation": 2},
                "status": {"desiredNumberScheduled": 5, "numberReady": ready,
                    "updatedNumberScheduled": updated, "observedGeneration": seen}})
        };
        assert_eq!(daemon_set(&set(5, 5, 2)), None);
        assert_eq!(daemon_set(&set(4, 5, 2)).unwrap().found, "4 ready");
        assert!(daemon_set(&set(5, 4, 2)).is_some());
        assert!(daemon_set(&set(5, 5, 1)).is_some(), "its status is of an older form");
    }

    #[test]
    fn a_deployment_has_all_its_replicas() {
        let coredns =
            |ready: u64| json!({"spec": {"replicas": 2}, "status": {"readyReplicas": ready}});
        assert_eq!(deployment(&coredns(2)), None);
        assert!(deployment(&coredns(1)).is_some());
        assert!(deployment(&json!({"spec": {}, "status": {}})).is_some());
        assert_eq!(deployment(&json!({"spec": {"replicas": 0}, "status": {}})), None);
    }

    #[test]
    fn every_control_plane_has_its_four_pods() {
        let node = json!({"metadata": {"name": "cp-1"}});
        let pod = |component: &str, ready: &str| {
            json!({"metadata": {"name": format!("{component}-cp-1")},
                "status": {"conditions": [{"type": "Ready", "status": ready}]}})
        };
        let mut pods: Vec<Value> =
            COMPONENTS.iter().map(|component| pod(component, "True")).collect();
        assert!(static_pods(std::slice::from_ref(&node), &pods).is_empty());
        pods[0] = pod("etcd", "False");
        pods.remove(1);
        let drifts = static_pods(&[node], &pods);
        let names: Vec<&str> = drifts.iter().map(|drift| drift.what.as_str()).collect();
        assert_eq!(names, ["pod etcd-cp-1", "pod kube-apiserver-cp-1"]);
    }
}
