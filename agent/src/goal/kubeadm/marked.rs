//! The Node is marked as a control plane: its label, and the taint that keeps other pods away.

use async_trait::async_trait;
use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, Finding};
use serde_json::Value;

use crate::goal::cluster::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::phase;

const MARK: &str = "node-role.kubernetes.io/control-plane";

pub(super) struct ControlPlaneMarked<'a>(pub &'a KubeNode);

#[async_trait]
impl Ensure for ControlPlaneMarked<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let path = format!("/api/v1/nodes/{}", self.0.node);
        Ok(Finding::from_drifts(match read::get(host, read::own(self.0), &path).await? {
            Reply::Found(node) => drifts(&node),
            Reply::Absent => {
                vec![Drift::new(format!("the Node {}", self.0.node), "not registered", "marked")]
            }
            Reply::NoRights => vec![read::no_rights()],
        }))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        phase::init(host, work, self.0, "mark-control-plane").await
    }
}

fn drifts(node: &Value) -> Vec<Drift> {
    let mut drifts = Vec::new();
    if node.pointer("/metadata/labels").and_then(|labels| labels.get(MARK)).is_none() {
        drifts.push(Drift::new(format!("label {MARK}"), "missing", "set"));
    }
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let tainted = taints.is_some_and(|taints| {
        taints.iter().any(|taint| taint["key"] == MARK && taint["effect"] == "NoSchedule")
    });
    if !tainted {
        drifts.push(Drift::new(format!("taint {MARK}:NoSchedule"), "missing", "set"));
    }
    drifts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_marked_by_label_and_taint() {
        let label = json!({"labels": {MARK: ""}});
        let taint = json!({"taints": [{"key": MARK, "effect": "NoSchedule"}]});
        assert!(drifts(&json!({"metadata": label, "spec": taint})).is_empty());
        assert_eq!(drifts(&json!({"metadata": label, "spec": {}})).len(), 1);
        assert_eq!(drifts(&json!({"metadata": {}, "spec": taint})).len(), 1);
        let other = json!({"taints": [{"key": MARK, "effect": "NoExecute"}]});
        assert_eq!(drifts(&json!({"metadata": label, "spec": other})).len(), 1);
    }
}
