//! A node takes new pods, or takes none, as `kubectl cordon` and `kubectl uncordon` set it.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::Scheduling;
use quorate_proto::{ActivityKind, Drift, Finding};
use serde_json::Value;

use super::kubectl;
use super::read::{self, Reply};
use crate::goal::{Ensure, Work};
use crate::host::{ApiServer, Host, HostError};

/// One request and its answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// As many names as a person reads in one sentence.
const NAMES: usize = 20;

pub(in crate::goal) struct NodeScheduling<'a>(pub &'a Scheduling);

#[async_trait]
impl Ensure for NodeScheduling<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let Scheduling { node, unschedulable } = self.0;
        let path = format!("/api/v1/nodes/{node}");
        let object = match read::get(host, ApiServer::Own, &path).await? {
            Reply::Found(object) => object,
            Reply::Absent => return self.no_such_node(host).await,
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        };
        // The API leaves the field out where it is false.
        let found = object.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
        let drift = Drift::new(
            format!("unschedulable of node {node}"),
            found.to_string(),
            unschedulable.to_string(),
        );
        Ok(Finding::from_drifts((found != *unschedulable).then_some(drift).into_iter().collect()))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let Scheduling { node, unschedulable } = self.0;
        let verb = if *unschedulable { "cordon" } else { "uncordon" };
        work.progress.doing(ActivityKind::Own, format!("kubectl {verb} {node}"));
        kubectl::run(host, work, &[verb, node.as_str()], Vec::new(), DEADLINE).await
    }
}

impl NodeScheduling<'_> {
    async fn no_such_node(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let nodes = read::nodes(host).await?.unwrap_or_default();
        let mut names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(NAMES);
        names.truncate(NAMES);
        let names = names.join(", ");
        let names = if more > 0 { format!("{names} and {more} more") } else { names };
        let node = &self.0.node;
        Ok(Finding::Refused { why: format!("the cluster has no node {node}; it has {names}") })
    }
}
