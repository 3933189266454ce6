//! The configuration that kubeadm reads, rendered from typed documents.
//!
//! Every document is JSON, which is YAML too: nothing is templated and nothing needs escaping.
//! No feature gate is ever named, because a gate that a version no longer knows is an error there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_proto::goal::{Cluster, KubeNode, REGISTRY};
use quorate_proto::{JoinMaterial, Secret};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::dialect::Dialect;

mod documents;

use documents::{
    ApiEndpoint, ApiServer, BootstrapToken, ClusterConfiguration, Component, ControlPlane,
    Discovery, Etcd, FileDiscovery, InitConfiguration, JoinConfiguration, LocalEtcd, Networking,
    NodeRegistration, Timeouts, args,
};

/// Marks the bootstrap tokens that quorate mints, so that it withdraws no one else's.
pub const TOKEN_DESCRIPTION: &str = "quorate";

/// The name of the configuration among a unit's files.
pub const CONFIG_FILE: &str = "config.yaml";
/// The name of the kubeconfig that a joining node discovers the cluster by.
pub const DISCOVERY_FILE: &str = "discovery.conf";

/// The files that `kubeadm init phase` needs on this node.
///
/// Material is needed by the phases that let others join: a token, and the key that seals the
/// certificates.
pub fn init_files(node: &KubeNode, material: Option<&JoinMaterial>) -> Vec<(String, Secret)> {
    vec![(CONFIG_FILE.to_owned(), Secret::new(init(node, material)))]
}

/// The files that `kubeadm join phase` needs on this node; `None` where the material lacks the
/// cluster's certificate authority.
pub fn join_files(node: &KubeNode, material: &JoinMaterial) -> Option<Vec<(String, Secret)>> {
    let discovery = discovery(&node.cluster, material.ca_pem.as_deref()?);
    Some(vec![
        (CONFIG_FILE.to_owned(), Secret::new(join(node, material))),
        (DISCOVERY_FILE.to_owned(), Secret::new(discovery)),
    ])
}

/// Every document that kubeadm reads when it initialises a cluster.
pub fn init(node: &KubeNode, material: Option<&JoinMaterial>) -> String {
    yaml(&init_documents(node, material))
}

/// The same for a dry run, which looks for certificates in another folder and so finds none.
pub fn dry_run(node: &KubeNode, certificates: &str) -> String {
    let mut documents = init_documents(node, None);
    for document in documents.iter_mut().filter(|it| it["kind"] == "ClusterConfiguration") {
        merge(document, &json!({"certificatesDir": certificates}));
    }
    yaml(&documents)
}

fn init_documents(node: &KubeNode, material: Option<&JoinMaterial>) -> [Value; 4] {
    let cluster = &node.cluster;
    let kubeadm = Dialect::of(cluster.version).api_version;
    let init = InitConfiguration {
        bootstrap_tokens: material.map(token).into_iter().collect(),
        certificate_key: material.map(|material| material.certificate_key.expose().to_owned()),
        local_api_endpoint: own_endpoint(node),
        node_registration: registration(node),
        timeouts: Timeouts::GENEROUS,
    };
    [
        document(kubeadm, "InitConfiguration", &init),
        document(kubeadm, "ClusterConfiguration", &cluster_configuration(cluster)),
        document("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration", &kubelet(cluster)),
        document("kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration", &cluster.kube_proxy),
    ]
}

/// The document that kubeadm reads when a node joins.
pub fn join(node: &KubeNode, material: &JoinMaterial) -> String {
    let join = JoinConfiguration {
        discovery: Discovery {
            file: FileDiscovery { kube_config_path: format!("{{dir}}/{DISCOVERY_FILE}") },
            tls_bootstrap_token: material.token.expose().to_owned(),
        },
        control_plane: node.is_control_plane().then(|| ControlPlane {
            local_api_endpoint: own_endpoint(node),
            certificate_key: material.certificate_key.expose().to_owned(),
        }),
        node_registration: registration(node),
        timeouts: Timeouts::GENEROUS,
    };
    let kubeadm = Dialect::of(node.cluster.version).api_version;
    yaml(&[document(kubeadm, "JoinConfiguration", &join)])
}

/// The kubeconfig by which a kubelet asks for its certificate, in the shape of kubeadm's own.
pub fn bootstrap_kubeconfig(cluster: &Cluster, ca_pem: &str, token: &str) -> Secret {
    let server = format!("https://{}", cluster.endpoint);
    let config = json!({
        "clusters": [{"name": "kubernetes", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "users": [{"name": "tls-bootstrap-token-user", "user": {"token": token}}],
        "contexts": [{"name": "bootstrap", "context": {
            "cluster": "kubernetes", "user": "tls-bootstrap-token-user",
        }}],
        "current-context": "bootstrap",
    });
    Secret::new(yaml(&[document("v1", "Config", &config)]))
}

/// A kubeconfig without credentials, in the shape of kubeadm's own `cluster-info`: where the cluster
/// is, and which authority it must prove.
fn discovery(cluster: &Cluster, ca_pem: &str) -> String {
    let server = format!("https://{}", cluster.endpoint);
    let config = json!({
        "clusters": [{"name": "", "cluster": {
            "server": server, "certificate-authority-data": STANDARD.encode(ca_pem),
        }}],
        "contexts": [], "users": [], "current-context": "",
    });
    yaml(&[document("v1", "Config", &config)])
}

/// What quorate sets in the kubelet's configuration, and what the specification sets over it.
pub fn kubelet(cluster: &Cluster) -> Value {
    let mut ours = json!({"cgroupDriver": "systemd", "rotateCertificates": true});
    merge(&mut ours, &Value::Object(cluster.kubelet.clone()));
    ours
}

/// The names and addresses that an API server's certificate has beside kubeadm's own.
pub fn cert_sans(cluster: &Cluster) -> Vec<String> {
    let peers = cluster.control_planes.iter();
    let mut sans = vec![cluster.endpoint.host.clone(), "127.0.0.1".to_owned()];
    sans.extend(peers.flat_map(|peer| [peer.node.to_string(), peer.address.to_string()]));
    sans.extend(cluster.cert_sans.iter().cloned());
    sans.sort();
    sans.dedup();
    sans
}

/// The address of this number in the service network, as kubeadm counts: 1 is the API's own
/// service, 10 the cluster's DNS.
pub fn service_ip(cluster: &Cluster, number: u8) -> IpAddr {
    match cluster.service_subnet.network() {
        IpAddr::V4(base) => Ipv4Addr::from(u32::from(base).wrapping_add(number.into())).into(),
        IpAddr::V6(base) => Ipv6Addr::from(u128::from(base).wrapping_add(number.into())).into(),
    }
}

/// The ClusterConfiguration that the cluster must hold, also where it says that nothing is set.
pub fn stored(cluster: &Cluster) -> Value {
    let mut stored = json!({
        "apiServer": {"extraArgs": []}, "controllerManager": {"extraArgs": []},
        "scheduler": {"extraArgs": []}, "etcd": {"local": {"extraArgs": []}},
        "imageRepository": REGISTRY,
    });
    merge(&mut stored, &serde_json::to_value(cluster_configuration(cluster)).unwrap_or_default());
    stored
}

fn cluster_configuration(cluster: &Cluster) -> ClusterConfiguration {
    ClusterConfiguration {
        cluster_name: cluster.name.clone(),
        kubernetes_version: cluster.version.to_string(),
        control_plane_endpoint: cluster.endpoint.to_string(),
        image_repository: cluster.image_repository.clone(),
        networking: Networking {
            pod_subnet: cluster.pod_subnet.to_string(),
            service_subnet: cluster.service_subnet.to_string(),
            dns_domain: cluster.dns_domain.clone(),
        },
        api_server: ApiServer {
            cert_sans: cert_sans(cluster),
            extra_args: args(&cluster.extra_args.api_server),
        },
        controller_manager: Component { extra_args: args(&cluster.extra_args.controller_manager) },
        scheduler: Component { extra_args: args(&cluster.extra_args.scheduler) },
        etcd: Etcd {
            local: LocalEtcd {
                data_dir: "/var/lib/etcd".to_owned(),
                extra_args: args(&cluster.extra_args.etcd),
            },
        },
    }
}

fn token(material: &JoinMaterial) -> BootstrapToken {
    BootstrapToken {
        token: material.token.expose().to_owned(),
        description: TOKEN_DESCRIPTION.to_owned(),
        // Longer than any run's joins; the run withdraws the token when they are over.
        ttl: "2h0m0s".to_owned(),
    }
}

fn own_endpoint(node: &KubeNode) -> ApiEndpoint {
    ApiEndpoint { advertise_address: node.address.to_string(), bind_port: node.cluster.api_port }
}

fn registration(node: &KubeNode) -> NodeRegistration {
    let mut kubelet = node.cluster.extra_args.kubelet.clone();
    kubelet.entry("node-ip".to_owned()).or_insert_with(|| node.address.to_string());
    NodeRegistration {
        name: node.node.to_string(),
        cri_socket: "unix:///run/containerd/containerd.sock".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_serial: false,
        ignore_preflight_errors: node.cluster.ignore_preflight_errors.clone(),
        kubelet_extra_args: args(&kubelet),
    }
}

/// One document. The types here are plain data: they have no key or value that JSON lacks.
fn document(api_version: &str, kind: &str, content: &impl Serialize) -> Value {
    let mut document = json!({"apiVersion": api_version, "kind": kind});
    merge(&mut document, &serde_json::to_value(content).unwrap_or_default());
    document
}

fn yaml(documents: &[Value]) -> String {
    let texts: Vec<String> = documents.iter().map(|document| format!("{document:#}\n")).collect();
    texts.join("---\n")
}

/// Puts `over` on top of `base`: maps key by key, everything else whole.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// Whether `found` has everything that `wanted` asks for; it may have more. Gives the first path
/// that differs.
pub fn lacks(found: &Value, wanted: &Value) -> Option<String> {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().find_map(|(key, value)| {
            let below = lacks(found.get(key).unwrap_or(&Value::Null), value)?;
            Some(if below.is_empty() { key.clone() } else { format!("{key}.{below}") })
        }),
        _ if found == wanted || is_default(found, wanted) || is_same_time(found, wanted) => None,
        _ => Some(String::new()),
    }
}

/// The paths at which two configurations say different things, with dots.
pub fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            let added = found.keys().filter(|key| !wanted.contains_key(*key));
            let below = wanted.keys().chain(added).flat_map(|key| {
                let value = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
                let paths = differences(&value(found), &value(wanted)).into_iter();
                paths.map(
                    move |path| if path.is_empty() { key.clone() } else { format!("{key}.{path}") },
                )
            });
            below.collect()
        }
        _ if found == wanted
            || is_default(found, wanted)
            || is_default(wanted, found)
            || is_same_time(found, wanted) =>
        {
            Vec::new()
        }
        _ => vec![String::new()],
    }
}

/// Kubernetes leaves out what is zero when it writes a configuration back.
fn is_default(found: &Value, wanted: &Value) -> bool {
    let zero = match wanted {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    };
    zero && found.is_null()
}

/// Kubernetes writes every duration its own way: `5m` comes back as `5m0s`.
fn is_same_time(found: &Value, wanted: &Value) -> bool {
    let seconds = |value: &Value| duration(value.as_str()?);
    let (found, wanted) = (seconds(found), seconds(wanted));
    found.is_some() && found == wanted
}

/// Seconds of a duration of whole hours, minutes and seconds; `None` for anything else.
fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let (number, after) = rest.split_once(|c: char| !c.is_ascii_digit())?;
        let unit = rest.chars().nth(number.len())?;
        let scale = match unit {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(scale)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(seconds)
}

/// A map as a document of its own.
pub fn object(map: &Map<String, Value>) -> Value {
    Value::Object(map.clone())
}

#[cfg(test)]
mod tests;
