//! Reading the Kubernetes API: what an answer means to a check.

use std::net::SocketAddr;

use quorate_proto::goal::KubeNode;
use quorate_proto::{Drift, NodeFacts};
use serde_json::Value;

use crate::facts;
use crate::host::{ApiMethod, ApiRequest, ApiServer, Host, HostError};

/// What the API says about one path.
#[derive(Debug)]
pub(in crate::goal) enum Reply {
    Found(Value),
    Absent,
    /// The administrator is known and may do nothing yet: kubeadm binds its rights when it first
    /// writes to the cluster, so that this is one more thing that an apply mends.
    NoRights,
}

/// The API server of a control plane, at its own address.
pub(in crate::goal) fn own(node: &KubeNode) -> ApiServer {
    ApiServer::At(SocketAddr::new(node.address, node.cluster.api_port).to_string())
}

/// Reads one path. Silence, and an API server that is not in order, are errors: they say nothing
/// about the goal.
pub(in crate::goal) async fn get(
    host: &dyn Host,
    at: ApiServer,
    path: &str,
) -> Result<Reply, HostError> {
    let answer =
        host.api(&ApiRequest { method: ApiMethod::Get, path: path.to_owned(), at }).await?;
    match answer.status {
        200 => Ok(Reply::Found(answer.body)),
        404 => Ok(Reply::Absent),
        403 => Ok(Reply::NoRights),
        status => Err(refusal("GET", path, status, &answer.body)),
    }
}

/// Lists the cluster's nodes as `kubectl get nodes` does, a fraction of their objects; `None` where the
/// administrator has no rights yet.
pub(super) async fn nodes(host: &dyn Host) -> Result<Option<Vec<NodeFacts>>, HostError> {
    let path = "/api/v1/nodes";
    let (method, at) = (ApiMethod::Table, ApiServer::Own);
    let answer = host.api(&ApiRequest { method, path: path.to_owned(), at }).await?;
    let table = facts::rows(&answer.body).filter(|_| answer.status == 200);
    match (table, answer.status) {
        (Some(nodes), _) => Ok(Some(nodes)),
        (None, 403) => Ok(None),
        (None, status) => Err(refusal("GET", path, status, &answer.body)),
    }
}

/// Deletes what is at a path, if anything.
pub(super) async fn delete(host: &dyn Host, at: ApiServer, path: &str) -> Result<(), HostError> {
    let request = ApiRequest { method: ApiMethod::Delete, path: path.to_owned(), at };
    let answer = host.api(&request).await?;
    match answer.status {
        200 | 202 | 404 => Ok(()),
        status => Err(refusal("DELETE", path, status, &answer.body)),
    }
}

/// The drift of an administrator without rights.
pub(in crate::goal) fn no_rights() -> Drift {
    Drift::new("the administrator's rights in the cluster", "not granted yet", "granted")
}

/// The items of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The text at a pointer, or nothing.
pub(in crate::goal) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The status of a condition, such as `Ready` of a Node or a Pod.
pub(in crate::goal) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array)?;
    conditions.iter().find(|condition| text(condition, "/type") == kind)
}

/// A YAML document inside a ConfigMap.
pub(super) fn embedded(config_map: &Value, key: &str) -> Value {
    let yaml =
        config_map.get("data").map(|data| text(data, &format!("/{key}"))).unwrap_or_default();
    serde_saphyr::from_str(yaml).unwrap_or_default()
}

/// Whether pods of a namespace were started before a ConfigMap got its present content, and so may run by an
/// older one. `selector` may be empty.
pub(super) async fn runs_older_config(
    host: &dyn Host,
    at: ApiServer,
    config_map: &Value,
    namespace: &str,
    selector: &str,
) -> Result<bool, HostError> {
    let fields = config_map.pointer("/metadata/managedFields").and_then(Value::as_array);
    let written = fields.into_iter().flatten().map(|field| text(field, "/time")).max();
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}");
    let Reply::Found(pods) = get(host, at, &path).await? else { return Ok(false) };
    // RFC 3339 in UTC sorts as text.
    let started = items(&pods).iter().map(|pod| text(pod, "/status/startTime"));
    let first = started.filter(|time| !time.is_empty()).min();
    Ok(first.zip(written).is_some_and(|(first, written)| first < written))
}

fn refusal(method: &str, path: &str, status: u16, body: &Value) -> HostError {
    let message = text(body, "/message");
    let source = format!("{method} {path} gave status {status} {message}");
    HostError::Silent { service: "the Kubernetes API".to_owned(), source: source.into() }
}
