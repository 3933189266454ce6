//! The shape of kubeadm's `v1beta4` documents, as far as quorate sets them.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitConfiguration {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bootstrap_tokens: Vec<BootstrapToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_key: Option<String>,
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: ApiEndpoint,
    pub node_registration: NodeRegistration,
    pub timeouts: Timeouts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinConfiguration {
    pub discovery: Discovery,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control_plane: Option<ControlPlane>,
    pub node_registration: NodeRegistration,
    pub timeouts: Timeouts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterConfiguration {
    pub cluster_name: String,
    pub kubernetes_version: String,
    pub control_plane_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_repository: Option<String>,
    pub networking: Networking,
    pub api_server: ApiServer,
    pub controller_manager: Component,
    pub scheduler: Component,
    pub etcd: Etcd,
}

#[derive(Serialize)]
pub(super) struct BootstrapToken {
    pub token: String,
    pub description: String,
    pub ttl: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiEndpoint {
    pub advertise_address: String,
    pub bind_port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeRegistration {
    pub name: String,
    pub cri_socket: String,
    pub image_pull_policy: String,
    pub image_pull_serial: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_preflight_errors: Vec<String>,
    pub kubelet_extra_args: Vec<Arg>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Discovery {
    pub file: FileDiscovery,
    pub tls_bootstrap_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileDiscovery {
    pub kube_config_path: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ControlPlane {
    #[serde(rename = "localAPIEndpoint")]
    pub local_api_endpoint: ApiEndpoint,
    pub certificate_key: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Networking {
    pub pod_subnet: String,
    pub service_subnet: String,
    pub dns_domain: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiServer {
    #[serde(rename = "certSANs")]
    pub cert_sans: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Component {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
}

#[derive(Serialize)]
pub(super) struct Etcd {
    pub local: LocalEtcd,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LocalEtcd {
    pub data_dir: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_args: Vec<Arg>,
}

/// An argument of a component; `v1beta4` has them as a list, where v1beta3 had a map.
#[derive(Serialize)]
pub(super) struct Arg {
    pub name: String,
    pub value: String,
}

pub(super) fn args(map: &BTreeMap<String, String>) -> Vec<Arg> {
    map.iter().map(|(name, value)| Arg { name: name.clone(), value: value.clone() }).collect()
}

/// kubeadm's own patience. On a slow machine a phase that gives up early costs a whole run, while
/// one that waits too long is seen and can be cancelled.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeouts {
    control_plane_component_health_check: &'static str,
    kubelet_health_check: &'static str,
    #[serde(rename = "kubernetesAPICall")]
    kubernetes_api_call: &'static str,
    #[serde(rename = "etcdAPICall")]
    etcd_api_call: &'static str,
    tls_bootstrap: &'static str,
    discovery: &'static str,
}

impl Timeouts {
    pub(super) const GENEROUS: Self = Self {
        control_plane_component_health_check: "6m0s",
        kubelet_health_check: "4m0s",
        kubernetes_api_call: "3m0s",
        etcd_api_call: "4m0s",
        tls_bootstrap: "5m0s",
        discovery: "5m0s",
    };
}
