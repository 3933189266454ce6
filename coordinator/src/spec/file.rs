//! The shape of cluster.yaml. The comments here are the descriptions in the JSON schema; what the
//! values must be beyond their shape is left to the checks.
//!
//! A required field is an `Option`, so that the checks can look at the rest of a file that lacks
//! it: `shape` has reported that it is missing, and the checks say nothing more of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a highly available Kubernetes cluster must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "quorate cluster.yaml")]
pub(super) struct File {
    /// Always quorate.dev/v1alpha1.
    #[schemars(required)]
    pub(super) api_version: Option<String>,
    /// Always Cluster.
    #[schemars(required)]
    pub(super) kind: Option<String>,
    #[schemars(required)]
    pub(super) metadata: Option<Metadata>,
    #[schemars(required)]
    pub(super) spec: Option<Spec>,
}

/// What the cluster is called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Metadata {
    /// The cluster's name: a-z, 0-9 and '-'. kubeadm's clusterName.
    #[schemars(required)]
    pub(super) name: Option<String>,
}

/// The cluster.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-hints" = {
    "version": "write kubernetes: {version: v1.35.4}",
    "controlPlaneEndpoint": "write endpoint: {host: HOST, port: 6443}",
    "networking": "it is called network",
    "workers": "list every node under nodes, with roles: [worker]",
    "controlPlanes": "list every node under nodes, with roles: [control-plane]",
}))]
pub(super) struct Spec {
    #[schemars(required)]
    pub(super) kubernetes: Option<Kubernetes>,
    #[schemars(required)]
    pub(super) endpoint: Option<Endpoint>,
    /// The port at which each API server listens on its own address. Default: 6443.
    #[schemars(range(min = 1))]
    pub(super) api_port: Option<u16>,
    #[schemars(required)]
    pub(super) network: Option<Network>,
    #[serde(default)]
    #[schemars(schema_with = "etcd")]
    pub(super) etcd: Option<String>,
    /// What answers at the endpoint. Default: haproxy if a node has the role load-balancer, else none.
    pub(super) load_balancer: Option<LoadBalancer>,
    /// Every machine of the cluster, the load balancers among them.
    #[schemars(required)]
    pub(super) nodes: Option<Vec<Node>>,
    #[serde(default)]
    pub(super) kubeadm: Kubeadm,
    #[serde(default)]
    pub(super) containerd: Containerd,
    #[serde(default)]
    pub(super) packages: Packages,
    #[serde(default)]
    pub(super) images: Images,
    #[serde(default)]
    pub(super) joins: Joins,
}

/// A string in the file, so that `external` gets an answer of its own.
fn etcd(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "Where etcd runs. Default: stacked, on the control planes.",
        "enum": ["stacked"],
        "x-hints": {
            "external": "quorate does not build clusters on an external etcd yet: write \
                         etcd: stacked, and etcd runs on the control planes",
        },
    })
}

/// Which Kubernetes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kubernetes {
    /// A released version from v1.33 to v1.36, such as v1.35.4.
    #[schemars(required)]
    pub(super) version: Option<String>,
}

/// Where clients reach the cluster: kubeadm's controlPlaneEndpoint. It cannot change later.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Endpoint {
    /// An address or a DNS name.
    #[schemars(required)]
    pub(super) host: Option<String>,
    /// Default: 6443.
    #[schemars(range(min = 1))]
    pub(super) port: Option<u16>,
}

/// The cluster's networks. None of them may overlap another, or the nodes' addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Network {
    /// Addresses of pods; every node takes a /24 of it. Default: 10.244.0.0/16.
    pub(super) pod_subnet: Option<String>,
    /// Addresses of services, /12 to /28. Default: 10.96.0.0/12.
    pub(super) service_subnet: Option<String>,
    /// The domain of the cluster's DNS. Default: cluster.local.
    pub(super) dns_domain: Option<String>,
    #[schemars(required)]
    pub(super) plugin: Option<Plugin>,
}

/// Who connects the pods: quorate's flannel, a manifest of yours, or none: you apply one yourself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("x-hints" = {
    "calico": "apply its own manifest: plugin: {manifest: {file: calico.yaml}}",
    "cilium": "apply its own manifest: plugin: {manifest: {file: cilium.yaml}}",
}))]
pub(super) enum Plugin {
    Named(PluginName),
    Set(PluginSettings),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PluginName {
    Flannel,
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PluginSettings {
    Flannel(Flannel),
    Manifest(ManifestFile),
}

/// flannel, by quorate's own manifest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Flannel {
    /// How packets travel between nodes. Default: vxlan; host-gw is faster, for nodes in one subnet.
    pub(super) backend: Option<FlannelBackend>,
    /// The UDP port of vxlan. Default: 8472.
    #[schemars(range(min = 1))]
    pub(super) port: Option<u16>,
    /// Default: ghcr.io/flannel-io/flannel:v0.28.4.
    pub(super) image: Option<String>,
    /// Default: ghcr.io/flannel-io/flannel-cni-plugin:v1.8.0-flannel1.
    pub(super) cni_plugin_image: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FlannelBackend {
    Vxlan,
    HostGw,
}

/// A manifest of yours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ManifestFile {
    /// Path of the YAML file, relative to this one.
    #[schemars(required)]
    pub(super) file: Option<String>,
    /// The images that it needs, so that nodes have them before it is applied.
    #[serde(default)]
    pub(super) images: Vec<String>,
}

/// HAProxy on the nodes of role load-balancer, or none: someone else provides the endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum LoadBalancer {
    Named(LoadBalancerName),
    Set(LoadBalancerSettings),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LoadBalancerName {
    Haproxy,
    None,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum LoadBalancerSettings {
    Haproxy(Haproxy),
}

/// HAProxy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Haproxy {
    /// How it tells whether an API server can serve. Default: readyz (GET /readyz every second);
    /// tcp only sees whether the port accepts.
    pub(super) health_check: Option<HealthCheck>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HealthCheck {
    Readyz,
    Tcp,
}

/// A machine, or many: `worker-[1-50]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    /// Host name, Kubernetes node name and etcd member name. A range such as worker-[1-50] or
    /// worker-[01-50] stands for many nodes.
    #[schemars(required)]
    pub(super) name: Option<String>,
    /// The node's address. For a range of names: a range as long (10.0.1.[1-50]), or the first
    /// address, from which it counts up.
    #[schemars(required)]
    pub(super) address: Option<String>,
    /// What the node is for: control-plane, load-balancer, both, or worker alone.
    #[schemars(required, length(min = 1))]
    pub(super) roles: Option<Vec<Role>>,
    /// Where its agent listens. Default: 7443.
    #[schemars(range(min = 1))]
    pub(super) agent_port: Option<u16>,
}

impl Node {
    /// Whether it is given this role.
    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.iter().flatten().any(|given| *given == role)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    LoadBalancer,
    ControlPlane,
    Worker,
}

/// What is set over kubeadm's defaults.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-hints" = {
    "featureGates": "quorate drives kubeadm's phases as its default feature gates have them; for \
                     gates of the kubelet write kubeletConfiguration: {featureGates: ..}",
}))]
pub(super) struct Kubeadm {
    /// Fields of KubeletConfiguration (kubelet.config.k8s.io/v1beta1), for all nodes.
    #[serde(default)]
    pub(super) kubelet_configuration: Map<String, Value>,
    /// Fields of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1).
    #[serde(default)]
    pub(super) kube_proxy_configuration: Map<String, Value>,
    #[serde(default)]
    pub(super) extra_args: ExtraArgs,
    /// Preflight checks that may fail, such as SystemVerification.
    #[serde(default)]
    pub(super) ignore_preflight_errors: Vec<String>,
    /// Where the images of Kubernetes come from. Default: registry.k8s.io.
    pub(super) image_repository: Option<String>,
    /// Further names and addresses in the API servers' certificates.
    #[serde(default, rename = "certSANs")]
    pub(super) cert_sans: Vec<String>,
}

/// Command-line arguments over kubeadm's own, without the leading dashes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ExtraArgs {
    /// Of kube-apiserver.
    pub(super) api_server: BTreeMap<String, String>,
    /// Of kube-controller-manager.
    pub(super) controller_manager: BTreeMap<String, String>,
    /// Of kube-scheduler.
    pub(super) scheduler: BTreeMap<String, String>,
    /// Of etcd.
    pub(super) etcd: BTreeMap<String, String>,
    /// Of the kubelet.
    pub(super) kubelet: BTreeMap<String, String>,
}

/// What is set over containerd's defaults.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Containerd {
    /// The pause image. Default: the one that kubeadm of this version uses.
    pub(super) sandbox_image: Option<String>,
    /// systemd makes the cgroups, as the kubelet's cgroupDriver says. Default: true.
    pub(super) systemd_cgroup: Option<bool>,
    /// For machines whose containerd lacks CAP_SYS_RESOURCE, such as containers. Default: false.
    pub(super) restrict_oom_score_adj: Option<bool>,
}

/// Where packages come from, and which.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Packages {
    /// The apt repository of kubeadm, kubelet and kubectl. Default: the nodes' own sources are
    /// used as they are.
    pub(super) repository: Option<Repository>,
    /// The version of kubeadm, kubelet and kubectl. Default: that of Kubernetes with -1.1, as
    /// pkgs.k8s.io has it: 1.35.4-1.1.
    pub(super) kubernetes: Option<String>,
}

/// An apt repository.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Repository {
    /// Names the file in /etc/apt/sources.list.d. Default: kubernetes.
    pub(super) name: Option<String>,
    /// Such as https://pkgs.k8s.io/core:/stable:/v1.35/deb/.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// A suite, or a path that ends in `/`. Default: `/`, a flat repository as pkgs.k8s.io is.
    pub(super) suite: Option<String>,
    /// Components of the suite; none for a flat repository.
    #[serde(default)]
    pub(super) components: Vec<String>,
    /// Path of the armored public key that signs the repository, relative to this file.
    pub(super) key_file: Option<String>,
    /// The key itself, instead of keyFile.
    pub(super) key: Option<String>,
}

/// Where images come from; without archives nodes pull from the registries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Images {
    /// Archives that nodes fetch and import.
    #[serde(default)]
    pub(super) archives: Vec<Archive>,
    /// Path of a YAML or JSON file with such a list, relative to this file.
    pub(super) archives_file: Option<String>,
}

/// An image archive, as `docker save` or `ctr images export` writes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Archive {
    /// http, https or file.
    #[schemars(required)]
    pub(super) url: Option<String>,
    /// Of the archive, 64 hexadecimal digits.
    #[schemars(required)]
    pub(super) sha256: Option<String>,
    /// The images in it. Without them it is imported wherever an image is missing.
    #[serde(default)]
    pub(super) names: Vec<String>,
}

/// How many nodes may join at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Joins {
    /// Default: 50.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) workers: Option<u16>,
}
