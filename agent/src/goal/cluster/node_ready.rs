//! A node is Ready, by the cluster's word.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::{Drift, Finding, NodeName};

use super::read::{self, Reply};
use crate::goal::{Ensure, Work, wait};
use crate::host::{ApiServer, Host, HostError};

/// A node is Ready some ten seconds after its network pod runs, whose image may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct NodeReady<'a>(pub &'a NodeName);

#[async_trait]
impl Ensure for NodeReady<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let path = format!("/api/v1/nodes/{}", self.0);
        let found = match read::get(host, ApiServer::Own, &path).await? {
            Reply::Found(node) => match read::condition(&node, "Ready") {
                Some(ready) if read::text(ready, "/status") == "True" => {
                    return Ok(Finding::Satisfied);
                }
                Some(ready) => format!("not Ready: {}", read::text(ready, "/message")),
                None => "not Ready: its kubelet has not reported".to_owned(),
            },
            Reply::Absent => "not registered".to_owned(),
            Reply::NoRights => return Ok(Finding::Drifted(vec![read::no_rights()])),
        };
        Ok(Finding::Drifted(vec![Drift::new(format!("node {}", self.0), found, "Ready")]))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        let what = format!("node {} is Ready", self.0);
        wait::until(self, host, work, &what, PATIENCE).await
    }
}
