//! The fake cluster: what kubeadm and kubectl make of it, and what the API and etcd then answer.
//!
//! kubeadm really signs certificates, so that checks have something to look at. What takes time in
//! a cluster is done at once: a static pod runs as soon as its manifest is there.

mod certificates;
mod kubeadm;
mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_proto::{EtcdFacts, EtcdMember};
use serde_json::Value;

use super::{State, complaint, printed};
use crate::host::{ApiAnswer, ApiMethod, ApiRequest, ApiServer, Command, HostError, Output};
use crate::kubeadm::manifest;
use crate::kubeadm_paths::ADMIN_CONF;

/// The cluster that a machine belongs to. Clones are the same cluster, so that several machines
/// share one.
#[derive(Debug, Clone, Default)]
pub struct Cluster(Arc<Mutex<Shared>>);

/// What the cluster holds, wherever its machines keep it.
#[derive(Debug, Default)]
pub struct Shared {
    /// Objects by their path in the API.
    pub objects: BTreeMap<String, Value>,
    pub members: Vec<EtcdMember>,
    /// Nodes whose machine is gone. Their Node objects and mirror pods stay as objects.
    pub lost: BTreeSet<String>,
    /// Where API servers answer: `ADDRESS:PORT`, the endpoint among them.
    pub api_servers: BTreeSet<String>,
    /// Until then, by a machine's uptime, the API servers refuse every token.
    pub tokens_known_ms: u64,
    /// Where another cluster answers.
    pub strangers: BTreeSet<String>,
    /// kubeadm has granted the administrator its rights.
    pub rights: bool,
    /// What the Secret kubeadm-certs seals, by path.
    sealed: BTreeMap<String, Vec<u8>>,
}

impl Cluster {
    /// The cluster's state, to arrange it or to look at it. Not to be held over an await.
    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Programs of the cluster; `None` for any other.
pub(super) fn run(state: &mut State, command: &Command) -> Option<Result<Output, HostError>> {
    let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
    Some(match command.program.as_str() {
        "kubeadm" if args.contains(&"--dry-run") => kubeadm::dry_run(state, command),
        "kubeadm" if args.starts_with(&["kubeconfig", "user"]) => {
            Ok(kubeadm::kubeconfig_user(state))
        }
        "kubeadm" => kubeadm::run(state, &args),
        "kubectl" => objects::kubectl(state, &args),
        "kubelet" => Ok(printed("Kubernetes v1.35.4\n")),
        "journalctl" => Ok(printed(&state.systemd.journal)),
        _ => return None,
    })
}

/// What a kubelet does about its identity when it starts.
pub(super) fn kubelet_started(state: &mut State) -> Result<(), HostError> {
    kubeadm::kubelet_started(state)
}

/// The certificate that the kubelet has asked for is signed.
pub(super) fn sign_kubelet(state: &mut State) {
    kubeadm::sign_kubelet(state);
}

pub(super) fn api(state: &mut State, request: &ApiRequest) -> Result<ApiAnswer, HostError> {
    if let ApiServer::At(address) | ApiServer::Endpoint(address) = &request.at
        && state.cluster.shared().strangers.contains(address)
    {
        return Err(HostError::Refused(format!("who answers at {address} is not this cluster")));
    }
    let nameless = matches!(request.at, ApiServer::Endpoint(_)) && request.path == "/readyz";
    if !state.files.contains_key(ADMIN_CONF) && !nameless {
        let attempt = format!("reading {ADMIN_CONF}");
        return Err(HostError::Io { attempt, source: io::ErrorKind::NotFound.into() });
    }
    let cluster = state.cluster.clone();
    let up = match &request.at {
        ApiServer::Own => !cluster.shared().api_servers.is_empty(),
        ApiServer::At(address) | ApiServer::Endpoint(address) => {
            cluster.shared().api_servers.contains(address)
        }
    };
    // As an API server ends that is given an argument which it does not know.
    let broken = state.text(&manifest::path("kube-apiserver")).contains("--broken=");
    if !up || broken {
        return Err(silent("the Kubernetes API"));
    }
    if request.path == "/readyz" {
        return Ok(answer(200, Value::from("ok")));
    }
    if !cluster.shared().rights {
        return Ok(answer(403, Value::Null));
    }
    match request.method {
        ApiMethod::Get => Ok(match objects::get(&cluster.shared(), &request.path) {
            Some(body) => answer(200, body),
            None => answer(404, Value::Null),
        }),
        ApiMethod::Table => Ok(answer(200, objects::table_of_nodes(&cluster.shared()))),
        ApiMethod::Delete => delete(state, &request.path),
    }
}

fn delete(state: &mut State, path: &str) -> Result<ApiAnswer, HostError> {
    let path = path.split('?').next().unwrap_or_default();
    let cluster = state.cluster.clone();
    if !cluster.shared().objects.contains_key(path) {
        return Ok(answer(404, Value::Null));
    }
    state.change(format!("deleting {path}"))?;
    cluster.shared().objects.remove(path);
    Ok(answer(200, Value::Null))
}

/// A learner serves no list, and a machine without the certificates cannot ask.
pub(super) fn etcd(state: &mut State, _peers: &[String]) -> Result<EtcdFacts, HostError> {
    let certificate = "/etc/kubernetes/pki/etcd/healthcheck-client.crt";
    if !state.files.contains_key(certificate) {
        let attempt = format!("reading {certificate}");
        return Err(HostError::Io { attempt, source: io::ErrorKind::NotFound.into() });
    }
    let members = state.cluster.shared().members.clone();
    let leader = members.iter().find(|member| member.healthy).map(|member| member.id);
    let Some(leader) = leader else { return Err(silent("etcd")) };
    Ok(EtcdFacts { cluster_id: 7, leader: Some(leader), members })
}

pub(super) fn remove_member(state: &mut State, id: u64) -> Result<(), HostError> {
    let members = etcd(state, &[])?.members;
    if members.iter().any(|member| member.id == id) {
        state.change(format!("removing the etcd member {id:x}"))?;
        state.cluster.shared().members.retain(|member| member.id != id);
    }
    Ok(())
}

pub(super) fn resolve(
    state: &mut State,
    _name: &str,
    _server: SocketAddr,
) -> Result<usize, HostError> {
    let coredns = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
    let answers = state.cluster.shared().objects.contains_key(coredns);
    if answers { Ok(1) } else { Err(silent("DNS")) }
}

fn answer(status: u16, body: Value) -> ApiAnswer {
    ApiAnswer { status, body }
}

fn silent(service: &str) -> HostError {
    HostError::Silent { service: service.to_owned(), source: "connection refused".into() }
}

/// Puts a file there as a program does: counted, and only where it is not there already.
fn write(state: &mut State, path: &str, content: impl Into<Vec<u8>>) -> Result<(), HostError> {
    let content = content.into();
    if state.files.get(path) != Some(&content) {
        state.change(format!("kubeadm writes {path}"))?;
        state.files.insert(path.to_owned(), content);
    }
    Ok(())
}

/// Puts an object into the cluster, counted likewise.
fn put(state: &mut State, path: &str, object: Value) -> Result<(), HostError> {
    let cluster = state.cluster.clone();
    cluster.shared().rights = true;
    if cluster.shared().objects.get(path) != Some(&object) {
        state.change(format!("writing {path} in the cluster"))?;
        cluster.shared().objects.insert(path.to_owned(), object);
    }
    Ok(())
}

fn failure(message: &str) -> Output {
    complaint(1, format!("error: {message}\n"))
}
