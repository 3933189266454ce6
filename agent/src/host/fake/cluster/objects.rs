//! The objects of the fake cluster, as the API gives them, and `kubectl apply`.

use serde_json::{Value, json};

use super::{Shared, put};
use crate::host::fake::{State, complaint, printed};
use crate::host::{HostError, Output};

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/kube-system/pods/";
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const COMPONENTS: [&str; 4] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// One object, or a list where the path is a folder of objects.
pub(super) fn get(shared: &Shared, path: &str) -> Option<Value> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    if let Some(object) = shared.objects.get(path) {
        return Some(with_status(shared, path, object.clone()));
    }
    if let Some((_, name)) = path.split_once("/pods/") {
        let is_it = |pod: &Value| pod.pointer("/metadata/name").is_some_and(|found| found == name);
        return pods(shared).into_iter().find(is_it);
    }
    let items: Vec<Value> = if path.ends_with("/pods") {
        let of_node = query.strip_prefix("fieldSelector=spec.nodeName%3D");
        let on = |pod: &Value| {
            pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default()
                == of_node.unwrap_or_default()
        };
        pods(shared).into_iter().filter(|pod| of_node.is_none() || on(pod)).collect()
    } else if is_list(path) {
        let prefix = format!("{path}/");
        let below = shared.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let objects = below.map(|(key, object)| with_status(shared, key, object.clone()));
        objects.filter(|object| !query.starts_with("labelSelector") || is_marked(object)).collect()
    } else {
        return None;
    };
    Some(json!({"items": items}))
}

/// The nodes as `kubectl get nodes -o wide` lists them.
pub(super) fn table_of_nodes(shared: &Shared) -> Value {
    let columns = ["Name", "Status", "Version", "Internal-IP"].map(|name| json!({"name": name}));
    let nodes = get(shared, NODES).unwrap_or_default();
    let rows = nodes.get("items").and_then(Value::as_array).into_iter().flatten().map(|node| {
        let is_ready = node.pointer("/status/conditions/0/status") == Some(&json!("True"));
        let ready = if is_ready { "Ready" } else { "NotReady" };
        json!({"cells": [node.pointer("/metadata/name"), ready, "v1.35.4", "<none>"]})
    });
    json!({"columnDefinitions": columns, "rows": rows.collect::<Vec<_>>()})
}

/// `kubectl apply -f FILE`, `kubectl cordon NODE` and `kubectl uncordon NODE`
pub(super) fn kubectl(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    match args {
        [.., verb @ ("cordon" | "uncordon"), node] => cordon(state, node, *verb == "cordon"),
        [.., file] if args.contains(&"apply") => apply(state, file),
        _ => Ok(complaint(1, "kubectl: this is not modelled\n")),
    }
}

fn cordon(state: &mut State, node: &str, unschedulable: bool) -> Result<Output, HostError> {
    let path = format!("{NODES}/{node}");
    let known = state.cluster.shared().objects.get(&path).cloned();
    let Some(Value::Object(mut object)) = known else {
        return Ok(complaint(1, "Error from server (NotFound)\n"));
    };
    let spec = if unschedulable { json!({"unschedulable": true}) } else { json!({}) };
    object.insert("spec".to_owned(), spec);
    put(state, &path, object.into())?;
    Ok(printed("node cordoned\n"))
}

fn apply(state: &mut State, file: &str) -> Result<Output, HostError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&state.text(file)).unwrap_or_default();
    for document in documents {
        let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let path = match text("/kind") {
            "DaemonSet" => format!("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"),
            "ConfigMap" => format!("/api/v1/namespaces/{namespace}/configmaps/{name}"),
            kind => format!("/fake/{kind}/{namespace}/{name}"),
        };
        put(state, &path, document)?;
    }
    Ok(printed("serverside-applied\n"))
}

fn is_list(path: &str) -> bool {
    let lists =
        ["nodes", "secrets", "configmaps", "daemonsets", "deployments", "clusterrolebindings"];
    path.rsplit('/').next().is_some_and(|last| lists.contains(&last))
}

fn is_marked(node: &Value) -> bool {
    node.pointer("/metadata/labels").is_some_and(|labels| labels.get(CONTROL_PLANE).is_some())
}

/// What controllers and kubelets would have written by now.
fn with_status(shared: &Shared, path: &str, mut object: Value) -> Value {
    let networked =
        |key: &String| key.contains("/daemonsets/") && !key.ends_with("/daemonsets/kube-proxy");
    let ready = if shared.objects.keys().any(networked) { "True" } else { "False" };
    let lost = path.rsplit('/').next().is_some_and(|node| shared.lost.contains(node));
    let ready = if lost { "Unknown" } else { ready };
    let status = if path.starts_with(NODES) {
        json!({"conditions": [{"type": "Ready", "status": ready, "message": "cni plugin"}]})
    } else if path.contains("/daemonsets/") {
        json!({"desiredNumberScheduled": 1, "numberReady": 1, "updatedNumberScheduled": 1})
    } else if path.contains("/deployments/") {
        json!({"readyReplicas": 1})
    } else {
        return object;
    };
    if let Value::Object(object) = &mut object {
        object.insert("status".to_owned(), status);
    }
    object
}

/// Mirror pods of the nodes that run, and pods that are objects.
fn pods(shared: &Shared) -> Vec<Value> {
    let nodes = shared.objects.keys().filter_map(|path| path.strip_prefix("/api/v1/nodes/"));
    let running = nodes.filter(|node| !shared.lost.contains(*node));
    let mirrors = running.flat_map(|node| {
        COMPONENTS.map(|component| {
            json!({
                "metadata": {"name": format!("{component}-{node}")},
                "spec": {"nodeName": node},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            })
        })
    });
    let objects = shared.objects.iter().filter(|(path, _)| path.starts_with(PODS));
    mirrors.chain(objects.map(|(_, pod)| pod.clone())).collect()
}
