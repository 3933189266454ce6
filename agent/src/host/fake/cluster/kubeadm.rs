//! The phases of kubeadm, as far as goals look at what they leave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quorate_proto::goal::REGISTRY;
use quorate_proto::{EtcdMember, Secret};
use serde_json::{Value, json};

use super::certificates::{self, Pair};
use super::{failure, put, write};
use crate::host::fake::{State, printed};
use crate::host::{Command, HostError, Output};
use crate::kubeadm::{
    ADMIN_CONF, BOOTSTRAP_CONF, CA, KUBELET_CONF, KUBELET_CONFIG, KUBELET_FLAGS, KUBELET_PEM,
    MANIFESTS, PKI,
};

const SYSTEM: &str = "/api/v1/namespaces/kube-system";
const MARK: &str = "node-role.kubernetes.io/control-plane";

/// What a phase reads of its configuration.
struct Asked {
    joins: bool,
    node: String,
    address: String,
    token: String,
    cluster: Value,
    kubelet: Value,
    documents: Vec<Value>,
}

pub(super) fn run(state: &mut State, args: &[&str]) -> Result<Output, HostError> {
    let words: Vec<&str> =
        args.iter().copied().take_while(|word| !word.starts_with("--")).collect();
    let file = args.iter().skip_while(|word| **word != "--config").nth(1).copied();
    let asked = Asked::of(&state.text(file.unwrap_or_default())).completed(state);
    if asked.joins && !is_token(state, &asked.token) {
        return Ok(failure("couldn't validate the identity of the API Server: Unauthorized"));
    }
    match *words.as_slice() {
        ["init" | "join", "phase", "preflight"] => {}
        ["init", "phase", "certs", "all"] => {
            authorities(state)?;
            leaves(state, &asked)?;
        }
        ["join", "phase", _, "download-certs"] => download(state)?,
        ["init", "phase", "kubeconfig", which] => kubeconfigs(state, &asked, which)?,
        ["init" | "join", "phase", "kubelet-start"] => kubelet_start(state, &asked)?,
        ["init", "phase", "etcd", "local"] | ["join", "phase", "etcd-join"] => etcd(state, &asked)?,
        ["init", "phase", "control-plane", "all"] => control_plane(state, &asked)?,
        ["init", "phase", "kubelet-finalize", "all"] => {
            write(state, KUBELET_CONF, rotating(state, &asked))?;
        }
        ["join", "phase", "kubelet-wait-bootstrap"] => {
            // As kubeadm's own command does, which was made for control planes.
            if !state.files.contains_key(ADMIN_CONF) {
                return Ok(failure(&format!("File {ADMIN_CONF} does not exists.")));
            }
            wait_bootstrap(state, &asked)?;
        }
        ["join"] if runs_only(args, "kubelet-wait-bootstrap") => wait_bootstrap(state, &asked)?,
        ["init", "phase", "mark-control-plane"] => {
            let taint = json!({"key": MARK, "effect": "NoSchedule"});
            let node = json!({"metadata": {"name": asked.node, "labels": {MARK: ""}},
                "spec": {"taints": [taint]}});
            put(state, &format!("/api/v1/nodes/{}", asked.node), node)?;
        }
        ["init", "phase", "upload-config", "all"] => upload_config(state, &asked)?,
        ["init", "phase", "bootstrap-token"] => bootstrap_token(state, &asked)?,
        ["init", "phase", "upload-certs"] => upload_certs(state)?,
        ["init", "phase", "addon", "all"] => addons(state, &asked)?,
        _ => return Ok(failure(&format!("unknown command {words:?}"))),
    }
    Ok(printed(""))
}

/// Leaves what phases would write in the folder that the environment names, which changes nothing.
pub(super) fn dry_run(state: &mut State, command: &Command) -> Result<Output, HostError> {
    let config = command.stdin.as_ref().map(Secret::expose).unwrap_or_default();
    let asked = Asked::of(config);
    let folder = command.env.iter().find(|(name, _)| name == "KUBEADM_INIT_DRYRUN_DIR");
    let folder = folder.map(|(_, folder)| folder.clone()).unwrap_or_default();
    let mut files: Vec<(String, String)> =
        pods(&asked).into_iter().map(|(name, pod)| (format!("{name}.yaml"), pod)).collect();
    files.push(("etcd.yaml".to_owned(), etcd_pod(&asked)));
    files.push(("config.yaml".to_owned(), kubelet_config(&asked)));
    files.push(("kubeadm-flags.env".to_owned(), kubelet_env(&asked)));
    for (name, content) in files {
        state.put(&format!("{folder}/{name}"), &content);
    }
    Ok(printed(""))
}

/// Whether a whole join skips every phase but this one.
fn runs_only(args: &[&str], phase: &str) -> bool {
    let skipped = args.iter().skip_while(|word| **word != "--skip-phases").nth(1);
    let skipped: Vec<&str> = skipped.map(|list| list.split(',').collect()).unwrap_or_default();
    skipped.len() == 7 && !skipped.contains(&phase)
}

impl Asked {
    fn of(config: &str) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(config).unwrap_or_default();
        let first = documents.first().cloned().unwrap_or_default();
        let text =
            |pointer| first.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let own = ["/localAPIEndpoint", "/controlPlane/localAPIEndpoint"];
        let own = own.iter().find_map(|pointer| first.pointer(pointer)).cloned();
        let own = own.unwrap_or_default();
        let address = own.get("advertiseAddress").and_then(Value::as_str).unwrap_or_default();
        Self {
            joins: text("/kind") == "JoinConfiguration",
            node: text("/nodeRegistration/name"),
            address: address.to_owned(),
            token: text("/discovery/tlsBootstrapToken") + &text("/bootstrapTokens/0/token"),
            cluster: document(&documents, "ClusterConfiguration"),
            kubelet: document(&documents, "KubeletConfiguration"),
            documents,
        }
    }

    /// A join reads from the cluster what its configuration does not say.
    fn completed(mut self, state: &State) -> Self {
        if self.joins {
            let stored = |map: &str, key: &str| {
                let cluster = state.cluster.shared();
                let map = cluster.objects.get(&format!("{SYSTEM}/configmaps/{map}"))?;
                serde_json::from_str(map.pointer(&format!("/data/{key}"))?.as_str()?).ok()
            };
            self.cluster = stored("kubeadm-config", "ClusterConfiguration").unwrap_or_default();
            self.kubelet = stored("kubelet-config", "kubelet").unwrap_or_default();
        }
        self
    }

    /// The arguments that the specification sets for a component.
    fn extra_args(&self, pointer: &str) -> Vec<String> {
        let args = self.cluster.pointer(&format!("/{pointer}/extraArgs")).and_then(Value::as_array);
        args.into_iter().flatten().map(word).collect()
    }
}

fn word(arg: &Value) -> String {
    let text = |key: &str| arg[key].as_str().unwrap_or_default().to_owned();
    format!("--{}={}", text("name"), text("value"))
}

fn document(documents: &[Value], kind: &str) -> Value {
    let found = documents.iter().find(|document| document.get("kind") == Some(&Value::from(kind)));
    found.cloned().unwrap_or_default()
}

/// Whether the cluster knows a token by now.
fn is_token(state: &State, token: &str) -> bool {
    let (id, _) = token.split_once('.').unwrap_or_default();
    let path = format!("{SYSTEM}/secrets/bootstrap-token-{id}");
    let cluster = state.cluster.shared();
    cluster.objects.contains_key(&path) && state.uptime_ms >= cluster.tokens_known_ms
}

fn authorities(state: &mut State) -> Result<(), HostError> {
    for (file, name) in
        [("ca", "kubernetes"), ("front-proxy-ca", "front-proxy-ca"), ("etcd/ca", "etcd-ca")]
    {
        if !state.files.contains_key(&format!("{PKI}/{file}.key")) {
            write_pair(state, &format!("{PKI}/{file}"), certificates::authority(name))?;
        }
    }
    for file in ["sa.key", "sa.pub"] {
        write(state, &format!("{PKI}/{file}"), "-----BEGIN KEY-----\n")?;
    }
    Ok(())
}

fn leaves(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let own =
        vec![asked.node.clone(), asked.address.clone(), "127.0.0.1".into(), "localhost".into()];
    let mut api = own.clone();
    api.extend(["kubernetes.default.svc.cluster.local", "10.96.0.1"].map(str::to_owned));
    let sans = asked.cluster.pointer("/apiServer/certSANs").and_then(Value::as_array);
    let sans = sans.map(Vec::as_slice).unwrap_or_default().iter();
    api.extend(sans.filter_map(Value::as_str).map(str::to_owned));
    for (file, authority, sans) in [
        ("apiserver", "ca", api),
        ("apiserver-kubelet-client", "ca", Vec::new()),
        ("front-proxy-client", "front-proxy-ca", Vec::new()),
        ("etcd/server", "etcd/ca", own.clone()),
        ("etcd/peer", "etcd/ca", own),
        ("etcd/healthcheck-client", "etcd/ca", Vec::new()),
        ("apiserver-etcd-client", "etcd/ca", Vec::new()),
    ] {
        if !state.files.contains_key(&format!("{PKI}/{file}.key")) {
            let authority = pair(state, &format!("{PKI}/{authority}"));
            let leaf = certificates::leaf(&authority, file, sans);
            write_pair(state, &format!("{PKI}/{file}"), leaf)?;
        }
    }
    Ok(())
}

fn pair(state: &State, path: &str) -> Pair {
    Pair {
        certificate: state.text(&format!("{path}.crt")),
        key: state.text(&format!("{path}.key")),
    }
}

fn write_pair(state: &mut State, path: &str, pair: Option<Pair>) -> Result<(), HostError> {
    let pair = pair.unwrap_or(Pair { certificate: String::new(), key: String::new() });
    write(state, &format!("{path}.crt"), pair.certificate)?;
    write(state, &format!("{path}.key"), pair.key)
}

fn download(state: &mut State) -> Result<(), HostError> {
    let sealed = state.cluster.shared().sealed.clone();
    for (path, content) in sealed {
        write(state, &path, content)?;
    }
    Ok(())
}

fn kubeconfigs(state: &mut State, asked: &Asked, which: &str) -> Result<(), HostError> {
    let endpoint = asked
        .cluster
        .get("controlPlaneEndpoint")
        .and_then(Value::as_str)
        .unwrap_or("10.77.0.10:6443");
    let own = format!("{}:6443", asked.address);
    let all = [
        ("admin", endpoint),
        ("controller-manager", &own),
        ("scheduler", &own),
        ("super-admin", endpoint),
        ("kubelet", endpoint),
    ];
    for (name, server) in all.iter().filter(|(name, _)| which == "all" || which == *name) {
        let path = format!("/etc/kubernetes/{name}.conf");
        if !state.files.contains_key(&path) {
            let leaf = certificates::leaf(&pair(state, &format!("{PKI}/ca")), name, Vec::new());
            let user = leaf.map(|leaf| {
                json!({"client-certificate-data": STANDARD.encode(leaf.certificate),
                    "client-key-data": STANDARD.encode(leaf.key)})
            });
            write(state, &path, kubeconfig(state, server, &user.unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn kubeconfig(state: &State, server: &str, user: &Value) -> String {
    let ca = STANDARD.encode(state.text(CA));
    let cluster = json!({"server": format!("https://{server}"), "certificate-authority-data": ca});
    json!({
        "clusters": [{"name": "kubernetes", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "kubernetes", "user": "user"}}],
        "current-context": "c",
    })
    .to_string()
}

fn rotating(state: &State, asked: &Asked) -> String {
    let user = json!({"client-certificate": KUBELET_PEM, "client-key": KUBELET_PEM});
    kubeconfig(state, &format!("{}:6443", asked.address), &user)
}

fn kubelet_start(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    if asked.joins {
        if !state.files.contains_key(CA) {
            let ca = state.cluster.shared().sealed.get(CA).cloned().unwrap_or_default();
            write(state, CA, ca)?;
        }
        let token = json!({"token": asked.token});
        write(state, BOOTSTRAP_CONF, kubeconfig(state, "10.77.0.10:6443", &token))?;
    }
    state.node.clone_from(&asked.node);
    write(state, KUBELET_CONFIG, kubelet_config(asked))?;
    write(state, KUBELET_FLAGS, kubelet_env(asked))?;
    if asked.joins {
        // The kubelet writes the file at once, and what it names once it has it.
        write(state, KUBELET_CONF, rotating(state, asked))?;
    }
    crate::host::fake::systemd::run(state, &["restart", "kubelet"]).map(drop)
}

fn kubelet_config(asked: &Asked) -> String {
    asked.kubelet.to_string()
}

fn kubelet_env(asked: &Asked) -> String {
    let args = asked.documents.first().and_then(|first| first.pointer("/nodeRegistration"));
    let args = args.and_then(|it| it["kubeletExtraArgs"].as_array()).cloned().unwrap_or_default();
    let words: Vec<String> = args.iter().map(word).collect();
    format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", words.join(" "))
}

/// The kubelet's own certificate.
fn kubelet_pem(state: &State) -> String {
    // A worker has no key of the authority; the controller manager signs by its own.
    let key = state.cluster.shared().sealed.get(&format!("{PKI}/ca.key")).cloned();
    let mut authority = pair(state, &format!("{PKI}/ca"));
    if authority.key.is_empty() {
        authority.key = String::from_utf8_lossy(&key.unwrap_or_default()).into_owned();
    }
    let name = format!("system:node:{}", state.node);
    let leaf = certificates::leaf(&authority, &name, Vec::new());
    leaf.map(|leaf| leaf.certificate + &leaf.key).unwrap_or_default()
}

/// It asks for a certificate by the identity that kubeadm signed, or by a token: then it writes its
/// kubeconfig before it has what that names.
pub(super) fn kubelet_started(state: &mut State) -> Result<(), HostError> {
    state.bootstrap = state.text(BOOTSTRAP_CONF);
    if !state.bootstrap.is_empty() && !state.files.contains_key(KUBELET_CONF) {
        let user = json!({"client-certificate": KUBELET_PEM, "client-key": KUBELET_PEM});
        let conf = kubeconfig(state, "10.77.0.10:6443", &user);
        write(state, KUBELET_CONF, conf)?;
    }
    Ok(())
}

/// No change of the agent's.
pub(super) fn sign_kubelet(state: &mut State) {
    let conf = state.text(KUBELET_CONF);
    let admitted = state.bootstrap.split('"').any(|word| is_token(state, word));
    let asks = conf.contains("client-certificate-data") || (!conf.is_empty() && admitted);
    if asks && state.systemd.active("kubelet") && !state.files.contains_key(KUBELET_PEM) {
        let pem = kubelet_pem(state);
        state.put(KUBELET_PEM, &pem);
    }
}

pub(super) fn kubeconfig_user(state: &State) -> Output {
    let leaf = certificates::leaf(&pair(state, &format!("{PKI}/ca")), &state.node, Vec::new());
    let user = leaf.map(|leaf| {
        json!({"client-certificate-data": STANDARD.encode(leaf.certificate),
            "client-key-data": STANDARD.encode(leaf.key)})
    });
    printed(kubeconfig(state, "10.77.0.10:6443", &user.unwrap_or_default()))
}

fn etcd(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let cluster = state.cluster.clone();
    let url = format!("https://{}:2380", asked.address);
    let known = cluster.shared().members.iter().any(|member| member.peer_urls.contains(&url));
    if asked.joins && !known {
        state.change(format!("announcing the etcd member {url}"))?;
        cluster.shared().members.push(member(asked, &url, true));
    }
    write(state, &format!("{MANIFESTS}/etcd.yaml"), etcd_pod(asked))?;
    // The kubelet starts the pod whether or not kubeadm lives on: its data is no change of kubeadm's.
    state.put("/var/lib/etcd/member/wal/0.wal", "log");
    let voter =
        cluster.shared().members.iter().any(|it| it.peer_urls.contains(&url) && !it.learner);
    if asked.joins && !voter {
        state.change(format!("promoting the etcd member {url}"))?;
    }
    let mut shared = cluster.shared();
    shared.members.retain(|member| !member.peer_urls.contains(&url));
    shared.members.push(member(asked, &url, false));
    Ok(())
}

fn member(asked: &Asked, url: &str, new: bool) -> EtcdMember {
    let last = asked.address.rsplit('.').next().and_then(|last| last.parse().ok());
    EtcdMember {
        id: last.unwrap_or(0),
        name: if new { String::new() } else { asked.node.clone() },
        peer_urls: vec![url.to_owned()],
        learner: new,
        healthy: !new,
    }
}

fn control_plane(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    for (component, pod) in pods(asked) {
        write(state, &format!("{MANIFESTS}/{component}.yaml"), pod)?;
    }
    let endpoint = ["10.77.0.10:6443".to_owned(), format!("{}:6443", asked.address)];
    state.cluster.shared().api_servers.extend(endpoint);
    Ok(())
}

/// The manifests of all components but etcd.
fn pods(asked: &Asked) -> [(&'static str, String); 3] {
    let own = [format!("--advertise-address={}", asked.address), "--secure-port=6443".to_owned()];
    let api_server: Vec<String> = own.into_iter().chain(asked.extra_args("apiServer")).collect();
    let args = [
        ("kube-apiserver", api_server),
        ("kube-controller-manager", asked.extra_args("controllerManager")),
        ("kube-scheduler", asked.extra_args("scheduler")),
    ];
    args.map(|(component, args)| {
        let image = format!("registry.k8s.io/{component}:v1.35.4");
        (component, pod(component, &image, &args))
    })
}

fn etcd_pod(asked: &Asked) -> String {
    let state = if asked.joins { "existing" } else { "new" };
    let own = [format!("--name={}", asked.node), format!("--initial-cluster-state={state}")];
    let args: Vec<String> = own.into_iter().chain(asked.extra_args("etcd/local")).collect();
    pod("etcd", "registry.k8s.io/etcd:3.6.6-0", &args)
}

fn pod(name: &str, image: &str, extra: &[String]) -> String {
    let command: Vec<&str> = [name].into_iter().chain(extra.iter().map(String::as_str)).collect();
    json!({"kind": "Pod", "spec": {"containers": [{"image": image, "command": command}]}})
        .to_string()
}

fn wait_bootstrap(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let path = format!("/api/v1/nodes/{}", asked.node);
    let registered = state.cluster.shared().objects.contains_key(&path);
    if !registered {
        put(state, &path, json!({"metadata": {"name": asked.node}}))?;
    }
    if state.files.contains_key(BOOTSTRAP_CONF) {
        state.change(format!("removing {BOOTSTRAP_CONF}"))?;
        state.files.remove(BOOTSTRAP_CONF);
    }
    Ok(())
}

fn upload_config(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let map = |key: &str, content: &Value| json!({"data": {key: content.to_string()}});
    // kubeadm stores its defaults too.
    let mut cluster = serde_json::Map::new();
    cluster.insert("imageRepository".to_owned(), REGISTRY.into());
    cluster.extend(asked.cluster.as_object().cloned().unwrap_or_default());
    let kubeadm = map("ClusterConfiguration", &cluster.into());
    put(state, &format!("{SYSTEM}/configmaps/kubeadm-config"), kubeadm)?;
    let kubelet = map("kubelet", &document(&asked.documents, "KubeletConfiguration"));
    put(state, &format!("{SYSTEM}/configmaps/kubelet-config"), kubelet)
}

fn bootstrap_token(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let (id, _) = asked.token.split_once('.').unwrap_or_default();
    let secret = json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "data": {
        "description": STANDARD.encode("quorate"),
        "expiration": STANDARD.encode("2999-01-01T00:00:00Z"),
    }});
    put(state, &format!("{SYSTEM}/secrets/bootstrap-token-{id}"), secret)?;
    for name in [
        "get-nodes",
        "kubelet-bootstrap",
        "node-autoapprove-bootstrap",
        "node-autoapprove-certificate-rotation",
    ] {
        let name = format!("kubeadm:{name}");
        let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}");
        put(state, &path, json!({"metadata": {"name": name}}))?;
    }
    let info = json!({"data": {"kubeconfig": kubeconfig(state, "10.77.0.10:6443", &Value::Null)}});
    put(state, "/api/v1/namespaces/kube-public/configmaps/cluster-info", info)
}

fn upload_certs(state: &mut State) -> Result<(), HostError> {
    let names = ["ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "etcd/ca.crt"];
    for name in names.iter().chain(&["etcd/ca.key", "sa.key", "sa.pub"]) {
        let path = format!("{PKI}/{name}");
        let content = state.files.get(&path).cloned().unwrap_or_default();
        state.cluster.shared().sealed.insert(path, content);
    }
    let secret = json!({"metadata": {"name": "kubeadm-certs"}});
    put(state, &format!("{SYSTEM}/secrets/kubeadm-certs"), secret)
}

fn addons(state: &mut State, asked: &Asked) -> Result<(), HostError> {
    let apps = "/apis/apps/v1/namespaces/kube-system";
    let proxy = document(&asked.documents, "KubeProxyConfiguration").to_string();
    put(
        state,
        &format!("{SYSTEM}/configmaps/kube-proxy"),
        json!({"data": {"config.conf": proxy}}),
    )?;
    let image = json!({"image": "registry.k8s.io/kube-proxy:v1.35.4"});
    let set = json!({"metadata": {"name": "kube-proxy"},
        "spec": {"template": {"spec": {"containers": [image]}}}});
    put(state, &format!("{apps}/daemonsets/kube-proxy"), set)?;
    let coredns = json!({"metadata": {"name": "coredns"}, "spec": {"replicas": 1}});
    put(state, &format!("{apps}/deployments/coredns"), coredns)
}
