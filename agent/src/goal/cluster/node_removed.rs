//! A node that somebody asked to remove is in Kubernetes no more, nor are its pods in kube-system.
//!
//! kubeadm learns etcd's addresses from the annotations of etcd's pods: the mirror pod of a dead node
//! would send the next join to it. Pods in other namespaces are left to Kubernetes, which collects
//! those of nodes that are gone within a minute.

use async_trait::async_trait;
use quorate_proto::goal::NodeRemoval;
use quorate_proto::{ActivityKind, Drift, Finding};
use serde_json::Value;

use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{ApiServer, Host, HostError};

const PODS: &str = "/api/v1/namespaces/kube-system/pods";

#[async_trait]
impl Ensure for NodeRemoval {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let name = &self.node;
        let mut drifts = Vec::new();
        match read::get(host, ApiServer::Own, &path(self)).await? {
            Reply::Found(node) => {
                if let Some(why) = objection(self, &node) {
                    return Ok(Finding::Refused { why });
                }
                drifts.push(Drift::new(format!("node {name}"), "registered", "gone"));
            }
            Reply::Absent => {}
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        }
        let pods = pods(self, host).await?.into_iter();
        drifts
            .extend(pods.map(|pod| Drift::new(format!("pod {pod}"), format!("on {name}"), "gone")));
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let name = &self.node;
        work.progress.doing(ActivityKind::Own, format!("deleting node {name} and its system pods"));
        // The node goes first: no kubelet can put its static pods back into a cluster that does
        // not know it.
        if let Reply::Found(node) = read::get(host, ApiServer::Own, &path(self)).await? {
            if let Some(why) = objection(self, &node) {
                return Err(HostError::Refused(why));
            }
            read::delete(host, ApiServer::Own, &path(self)).await?;
        }
        for pod in pods(self, host).await? {
            // There is no kubelet that would confirm the end of it.
            let path = format!("{PODS}/{pod}?gracePeriodSeconds=0");
            read::delete(host, ApiServer::Own, &path).await?;
        }
        Ok(())
    }
}

fn path(removal: &NodeRemoval) -> String {
    format!("/api/v1/nodes/{}", removal.node)
}

/// A kubelet that reports runs on a machine that is there.
fn objection(removal: &NodeRemoval, node: &Value) -> Option<String> {
    let ready = read::condition(node, "Ready").map(|ready| read::text(ready, "/status"));
    let name = &removal.node;
    (ready == Some("True") && !removal.alive).then(|| {
        format!(
            "node {name} is Ready: if its machine was lost just now, Kubernetes notices within a \
             minute; then run the same command again. If it runs, put {name} back into the \
             specification to keep it, or remove it all the same: `quorate node remove {name} \
             --alive`"
        )
    })
}

/// The names of the pods in kube-system that are bound to the node.
async fn pods(removal: &NodeRemoval, host: &dyn Host) -> Result<Vec<String>, HostError> {
    let path = format!("{PODS}?fieldSelector=spec.nodeName%3D{}", removal.node);
    let Reply::Found(list) = read::get(host, ApiServer::Own, &path).await? else {
        return Ok(Vec::new());
    };
    let name = |pod: &Value| read::text(pod, "/metadata/name").to_owned();
    Ok(read::items(&list).iter().map(name).collect())
}
