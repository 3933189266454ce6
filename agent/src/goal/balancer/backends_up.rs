//! Every API server is up in the eyes of the load balancer. Others bring that about: to apply this goal
//! is to wait for it.

use std::time::Duration;

use async_trait::async_trait;
use quorate_proto::goal::LoadBalancer;
use quorate_proto::{Drift, Finding};

use super::load_balancer::{BACKEND, SOCKET};
use crate::goal::{Ensure, Work, wait};
use crate::host::{Host, HostError};

/// HAProxy takes a server for up 1.5 s after it serves, and all of them serve before anybody waits here.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct BackendsUp<'a>(pub &'a LoadBalancer);

#[async_trait]
impl Ensure for BackendsUp<'_> {
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError> {
        let table = host.ask_socket(SOCKET, "show stat").await?;
        Ok(Finding::from_drifts(self.drifts(&table)))
    }

    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError> {
        wait::until(self, host, work, "the load balancer sees all API servers up", PATIENCE).await
    }
}

impl BackendsUp<'_> {
    fn drifts(&self, table: &str) -> Vec<Drift> {
        let servers = statuses(table);
        let mut drifts = Vec::new();
        for backend in &self.0.backends {
            let mut rows = servers.iter().filter(|(name, _)| name == backend.node.as_str());
            let status = rows.next().map_or("not a server of it", |(_, status)| status.as_str());
            // `UP 2/3` is up and has just failed a check.
            if status != "UP" && !status.starts_with("UP ") {
                drifts.push(Drift::new(format!("backend {}", backend.node), status, "UP"));
            }
        }
        drifts
    }
}

/// Name and status of each server of our backend, from HAProxy's table.
fn statuses(table: &str) -> Vec<(String, String)> {
    let mut lines = table.lines();
    let heading = fields(lines.next().unwrap_or_default().trim_start_matches("# "));
    let column = |name: &str| heading.iter().position(|field| field == name);
    let (Some(proxy), Some(server), Some(status)) =
        (column("pxname"), column("svname"), column("status"))
    else {
        return Vec::new();
    };
    let row = |line: &str| -> Option<(String, String)> {
        let row = fields(line);
        let ours = row.get(proxy).is_some_and(|name| name == BACKEND);
        ours.then(|| Some((row.get(server)?.clone(), row.get(status)?.clone())))?
    };
    lines.filter_map(row).collect()
}

/// The fields of a line of CSV; those with a comma in them are quoted, and quotes in these doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.next_if_eq(&'"').is_some() => field.push('"'),
            ('"', _) => quoted = !quoted,
            (',', false) => fields.push(std::mem::take(&mut field)),
            (other, _) => field.push(other),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use quorate_proto::goal::{Backend, HealthCheck};

    use super::*;

    const TABLE: &str = "# pxname,svname,qcur,check_desc,status,\n\
        kubernetes-frontend,FRONTEND,,,OPEN,\n\
        other,cp-1,0,,DOWN,\n\
        kubernetes-backend,cp-1,0,\"Layer7, wrong \"\"status\"\"\",UP,\n\
        kubernetes-backend,cp-2,0,,DOWN 1/2,\n\
        kubernetes-backend,cp-3,0,,UP 2/3,\n\
        kubernetes-backend,BACKEND,0,,UP,\n\n";

    #[test]
    fn each_server_that_is_not_up_is_named() {
        let backend = |node: &str| Backend {
            node: node.try_into().unwrap(),
            address: "10.0.0.1".parse().unwrap(),
            port: 6443,
        };
        let backends = ["cp-1", "cp-2", "cp-3", "cp-4"].map(backend).into();
        let goal = LoadBalancer { port: 6443, health_check: HealthCheck::Readyz, backends };
        let drifts = BackendsUp(&goal).drifts(TABLE);
        let told: Vec<(&str, &str)> =
            drifts.iter().map(|drift| (drift.what.as_str(), drift.found.as_str())).collect();
        assert_eq!(told, [("backend cp-2", "DOWN 1/2"), ("backend cp-4", "not a server of it")]);
        assert_eq!(BackendsUp(&goal).drifts("nonsense").len(), 4);
    }

    #[test]
    fn quoted_fields_keep_commas_and_quotes() {
        assert_eq!(fields("a,\"b,\"\"c\"\"\",,d"), ["a", "b,\"c\"", "", "d"]);
        assert_eq!(fields(""), [""]);
        assert_eq!(fields("\"open,end"), ["open,end"]);
    }
}
