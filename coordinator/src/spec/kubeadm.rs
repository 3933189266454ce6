//! Checks of what is set over kubeadm's and containerd's defaults. A field that quorate or kubeadm
//! derives from the rest of the specification may not be set a second time.

use quorate_proto::KubernetesVersion;
use quorate_proto::goal::{ExtraArgs, REGISTRY};
use serde_json::{Map, Value};

use super::cluster::{ContainerdSettings, Kubeadm};
use super::file;
use super::report::Report;
use super::version::is_dns_name;

/// A field or argument that follows from the specification, and what to write instead.
type Owned = (&'static str, &'static str);

const KIND: [Owned; 2] = [
    ("apiVersion", "leave it out: quorate writes it"),
    ("kind", "leave it out: quorate writes it"),
];
const KUBELET: [Owned; 5] = [
    ("clusterDNS", "leave it out: it is the tenth address of spec.network.serviceSubnet"),
    ("clusterDomain", "set spec.network.dnsDomain"),
    ("staticPodPath", "leave it out: kubeadm keeps the control plane's pods there"),
    ("containerRuntimeEndpoint", "leave it out: it is quorate's containerd"),
    ("authentication", "leave it out: kubeadm's settings let the API servers alone in"),
];
const KUBE_PROXY: [Owned; 2] = [
    ("clusterCIDR", "set spec.network.podSubnet"),
    ("clientConnection", "leave it out: kubeadm writes the credentials of kube-proxy"),
];
const API_SERVER: [Owned; 4] = [
    ("advertise-address", "set the node's address"),
    ("secure-port", "set spec.apiPort"),
    ("etcd-servers", "leave it out: etcd is stacked"),
    ("service-cluster-ip-range", "set spec.network.serviceSubnet"),
];
const CONTROLLER_MANAGER: [Owned; 3] = [
    ("cluster-cidr", "set spec.network.podSubnet"),
    ("cluster-name", "set metadata.name"),
    ("service-cluster-ip-range", "set spec.network.serviceSubnet"),
];
const ETCD: [Owned; 9] = [
    ("name", "leave it out: it is the node's name"),
    ("data-dir", "leave it out: quorate watches /var/lib/etcd"),
    ("initial-cluster", "leave it out: quorate guards the membership"),
    ("initial-cluster-state", "leave it out: quorate guards the membership"),
    ("initial-advertise-peer-urls", "set the node's address"),
    ("listen-peer-urls", "set the node's address"),
    ("listen-client-urls", "set the node's address"),
    ("advertise-client-urls", "set the node's address"),
    ("force-new-cluster", "leave it out: it would split the cluster"),
];
const KUBELET_ARGS: [Owned; 6] = [
    ("hostname-override", "set the node's name"),
    ("node-ip", "set the node's address"),
    ("config", "set spec.kubeadm.kubeletConfiguration"),
    ("kubeconfig", "leave it out: kubeadm writes it"),
    ("bootstrap-kubeconfig", "leave it out: kubeadm writes it"),
    ("container-runtime-endpoint", "leave it out: it is quorate's containerd"),
];

/// kubeadm's own gates: no component knows them, and an unknown gate ends a component at its start.
/// With the minor that removed them, where that is known.
const KUBEADM_GATES: [(&str, Option<u16>); 6] = [
    ("ControlPlaneKubeletLocalMode", Some(36)),
    ("EtcdLearnerMode", Some(33)),
    ("NodeLocalCRISocket", Some(37)),
    ("PublicKeysECDSA", Some(37)),
    ("RootlessControlPlane", Some(35)),
    ("WaitForAllControlPlaneComponents", None),
];

/// What is set over kubeadm's defaults.
pub(super) fn kubeadm(
    file: &file::Kubeadm,
    version: Option<KubernetesVersion>,
    report: &mut Report,
) -> Kubeadm {
    const KUBELET_PATH: &str = "spec.kubeadm.kubeletConfiguration";
    const PROXY_PATH: &str = "spec.kubeadm.kubeProxyConfiguration";
    fields(KUBELET_PATH, &file.kubelet_configuration, &KUBELET, report);
    fields(PROXY_PATH, &file.kube_proxy_configuration, &KUBE_PROXY, report);
    for (path, map) in
        [(KUBELET_PATH, &file.kubelet_configuration), (PROXY_PATH, &file.kube_proxy_configuration)]
    {
        let gates = map.get("featureGates").and_then(Value::as_object);
        for gate in gates.into_iter().flatten().map(|(gate, _)| gate) {
            feature_gate(&format!("{path}.featureGates.{gate}"), gate, version, report);
        }
    }
    for (index, san) in file.cert_sans.iter().enumerate() {
        let name = san.strip_prefix("*.").unwrap_or(san);
        if san.parse::<std::net::IpAddr>().is_err() && !is_dns_name(name) {
            let message = format!("{san:?} is neither an address nor a DNS name");
            let hint = "certificates hold addresses and names, without port or scheme";
            report.error(&format!("spec.kubeadm.certSANs[{index}]"), message, hint);
        }
    }
    if file.image_repository.is_none() {
        let path = "spec.kubeadm.imageRepository".to_owned();
        report.defaults.push((path, REGISTRY.to_owned()));
    }
    Kubeadm {
        kubelet_configuration: file.kubelet_configuration.clone(),
        kube_proxy_configuration: file.kube_proxy_configuration.clone(),
        extra_args: extra_args(&file.extra_args, version, report),
        ignore_preflight_errors: file.ignore_preflight_errors.clone(),
        image_repository: file.image_repository.clone(),
        cert_sans: file.cert_sans.clone(),
    }
}

/// What is set over containerd's defaults.
pub(super) fn containerd(
    file: &file::Containerd,
    kubeadm: &Kubeadm,
    version: Option<KubernetesVersion>,
    report: &mut Report,
) -> ContainerdSettings {
    const PATH: &str = "spec.containerd";
    let repository = kubeadm.image_repository.as_deref().unwrap_or(REGISTRY);
    let pause = format!("{repository}/pause:{}", version.map_or("3.10.1", pause_tag));
    let settings = ContainerdSettings {
        sandbox_image: report.or(
            &format!("{PATH}.sandboxImage"),
            file.sandbox_image.clone(),
            pause,
        ),
        systemd_cgroup: report.or(&format!("{PATH}.systemdCgroup"), file.systemd_cgroup, true),
        restrict_oom_score_adj: report.or(
            &format!("{PATH}.restrictOomScoreAdj"),
            file.restrict_oom_score_adj,
            false,
        ),
    };
    let driver = kubeadm.kubelet_configuration.get("cgroupDriver").and_then(Value::as_str);
    let wanted = if settings.systemd_cgroup { "systemd" } else { "cgroupfs" };
    // kubeadm's own default is systemd.
    if driver.unwrap_or("systemd") != wanted {
        let message = format!(
            "the kubelet's cgroupDriver is {}, and containerd's systemdCgroup is {}",
            driver.unwrap_or("systemd"),
            settings.systemd_cgroup
        );
        let hint = "on machines set neither; where systemd does not run the cgroups, write \
                    cgroupDriver: cgroupfs and systemdCgroup: false";
        report.error(&format!("{PATH}.systemdCgroup"), message, hint);
    }
    settings
}

/// As `kubeadm config images list` of v1.33.13, v1.34.4, v1.35.4 and v1.36.3 names it.
fn pause_tag(version: KubernetesVersion) -> &'static str {
    match version.minor {
        ..34 => "3.10",
        34 | 35 => "3.10.1",
        36.. => "3.10.2",
    }
}

fn fields(path: &str, map: &Map<String, Value>, owned: &[Owned], report: &mut Report) {
    for (field, hint) in owned.iter().chain(&KIND) {
        if map.contains_key(*field) {
            report.error(&format!("{path}.{field}"), format!("{field} cannot be set here"), *hint);
        }
    }
}

fn extra_args(
    file: &file::ExtraArgs,
    version: Option<KubernetesVersion>,
    report: &mut Report,
) -> ExtraArgs {
    let components: [(&str, _, &[Owned]); 5] = [
        ("apiServer", &file.api_server, &API_SERVER),
        ("controllerManager", &file.controller_manager, &CONTROLLER_MANAGER),
        ("scheduler", &file.scheduler, &[]),
        ("etcd", &file.etcd, &ETCD),
        ("kubelet", &file.kubelet, &KUBELET_ARGS),
    ];
    for (component, arguments, owned) in components {
        for (argument, value) in arguments {
            let path = format!("spec.kubeadm.extraArgs.{component}.{argument}");
            if argument.is_empty() || argument.starts_with('-') || argument.contains(['=', ' ']) {
                let message = format!("{argument:?} is no name of an argument");
                report.error(&path, message, "write NAME: VALUE, the name without dashes");
            }
            if let Some((_, hint)) = owned.iter().find(|(name, _)| name == argument) {
                report.error(&path, format!("{argument} cannot be set here"), *hint);
            }
            if argument == "feature-gates" {
                let gates = value.split(',').filter_map(|gate| gate.split('=').next());
                gates.for_each(|gate| feature_gate(&path, gate.trim(), version, report));
            }
        }
    }
    ExtraArgs {
        api_server: file.api_server.clone(),
        controller_manager: file.controller_manager.clone(),
        scheduler: file.scheduler.clone(),
        etcd: file.etcd.clone(),
        kubelet: file.kubelet.clone(),
    }
}

fn feature_gate(path: &str, gate: &str, version: Option<KubernetesVersion>, report: &mut Report) {
    let Some((_, removed)) = KUBEADM_GATES.iter().find(|(name, _)| *name == gate) else { return };
    let gone = removed.zip(version).filter(|(minor, version)| version.minor >= *minor);
    let message = match gone {
        Some((minor, _)) => {
            format!("the feature gate {gate} was kubeadm's, and v1.{minor} removed it")
        }
        None => format!("{gate} is a feature gate of kubeadm, which no component knows"),
    };
    report.error(path, message, "leave it out: quorate drives kubeadm with its default gates");
}
