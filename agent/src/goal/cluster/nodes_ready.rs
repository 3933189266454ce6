//! These nodes are Ready, by the cluster's word: one look for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{Drift, Finding, NodeName};

use super::read::{self, Reply};
use crate::goal::{Ensure, Work, wait};
use crate::host::{ApiServer, Host, HostError};

/// A node is Ready some ten seconds after its network pod runs, whose image may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nodes whose reason is looked up. What keeps many from being Ready is mostly the same.
const EXPLAINED: usize = 3;

pub(in crate::goal) struct NodesReady<'a>(pub &'a BTreeSet<NodeName>);

#[async_trait]
impl Ensure for NodesReady<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let Some(nodes) = read::nodes(host).await? else {
            return Ok(Finding::Drifted(vec![read::no_rights()]));
        };
        let ready: BTreeMap<&str, bool> =
            nodes.iter().map(|node| (node.name.as_str(), node.ready)).collect();
        let mut drifts = Vec::new();
        for node in self.0 {
            let found = match ready.get(node.as_str()) {
                Some(true) => continue,
                Some(false) if drifts.len() < EXPLAINED => why(host, node).await?,
                Some(false) => "not Ready".to_owned(),
                None => "not registered".to_owned(),
            };
            drifts.push(Drift::new(format!("node {node}"), found, "Ready"));
        }
        Ok(Finding::from_drifts(drifts))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "all nodes are Ready", PATIENCE).await
    }
}

async fn why(host: &dyn Host, node: &NodeName) -> Result<String, HostError> {
    let path = format!("/api/v1/nodes/{node}");
    let Reply::Found(object) = read::get(host, ApiServer::Own, &path).await? else {
        return Ok("not registered".to_owned());
    };
    Ok(read::condition(&object, "Ready").map_or_else(
        || "not Ready: its kubelet has not reported".to_owned(),
        |ready| format!("not Ready: {}", read::text(ready, "/message")),
    ))
}
