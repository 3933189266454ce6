//! Whole specifications: the sample, and bad ones with the problems that they must give.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use quorate_proto::goal::HealthCheck;
use serde_json::Value;

use super::*;

const SAMPLE: &str = include_str!("../../../packaging/cluster.yaml");
const KEY: &str =
    "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n";
const DIGEST: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const GOOD: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.10, port: 6443}
  network: {plugin: {flannel: {}}}
  loadBalancer: haproxy
  nodes:
  - {name: lb-1, address: 10.0.0.10, roles: [load-balancer]}
  - {name: 'cp-[1-3]', address: 10.0.0.11, roles: [control-plane]}
  - {name: 'worker-[01-12]', address: '10.0.1.[1-12]', roles: [worker]}
";

/// The sample's companions, and some that are no good.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let images = format!("- url: http://10.77.0.1:8080/images/a.tar\n  sha256: {DIGEST}\n");
    let bad_images = "- {url: ftp://x/a.tar, sha256: abc}\n- {sha: abc}\n".to_owned();
    for (name, text) in [
        ("key.asc", KEY),
        ("images.yaml", &images),
        ("bad-images.yaml", &bad_images),
        ("private.asc", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
        ("binary.asc", "abc"),
        ("calico.yaml", "apiVersion: v1\nkind: Namespace\n---\n---\napiVersion: v1\nkind: Pod\n"),
        ("no-objects.yaml", "- a\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn parsed(text: &str) -> Result<Loaded, Problems> {
    parse(text, "cluster.yaml", folder().path())
}

fn with(extra: &str) -> String {
    format!("{GOOD}{extra}")
}

fn swapped(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replace(old, new)
}

/// The one problem that the text has, be it an error or a warning.
fn only_problem(text: &str) -> Problem {
    let problems = match parsed(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.0,
    };
    let shown = Problems(problems.clone()).render(false);
    assert_eq!(problems.len(), 1, "{text}\n{shown}");
    problems.into_iter().next().unwrap()
}

/// Each text has exactly one problem: at this path, with this in its message or hint.
fn each_has(severity: Severity, cases: &[(String, &str, &str)]) {
    for (text, path, fragment) in cases {
        let problem = only_problem(text);
        let shown = problem.render(false);
        assert_eq!((problem.path.as_str(), problem.severity), (*path, severity), "{shown}");
        assert!(format!("{} {}", problem.message, problem.hint).contains(fragment), "{shown}");
        assert!(!problem.hint.is_empty(), "{shown}");
    }
}

#[test]
fn the_sample_is_the_lab() {
    let loaded = parsed(SAMPLE).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert_eq!(loaded.warnings, []);
    let spec = loaded.spec;
    let nodes: Vec<_> = spec.nodes.iter().map(|n| format!("{} {}", n.name, n.address)).collect();
    let wanted = [
        "lb-1 10.77.0.10",
        "cp-1 10.77.0.11",
        "cp-2 10.77.0.12",
        "cp-3 10.77.0.13",
        "worker-1 10.77.0.21",
        "worker-2 10.77.0.22",
    ];
    assert_eq!(nodes, wanted);
    assert_eq!(spec.load_balancer, Some(HealthCheck::Readyz));
    assert_eq!(spec.kubeadm.kubelet_configuration["failCgroupV1"], Value::Bool(false));
    assert_eq!(spec.kubeadm.kube_proxy_configuration["conntrack"]["maxPerCore"], 0);
    assert_eq!(spec.containerd.sandbox_image, "registry.k8s.io/pause:3.10.1");
    assert_eq!(spec.packages.kubernetes, "1.35.4-1.1");
    assert_eq!(spec.packages.repository.unwrap().key, KEY);
    assert_eq!(spec.images.len(), 1);
}

#[test]
fn load_finds_companions_beside_the_file() {
    let folder = folder();
    let path = folder.path().join("cluster.yaml");
    fs::write(&path, SAMPLE).unwrap();
    assert_eq!(load(&path).unwrap(), parsed(SAMPLE).unwrap());
    fs::write(&path, "x".repeat(yaml::LARGEST + 1)).unwrap();
    let problems = load(&path).unwrap_err();
    assert!(problems.render(false).contains("has more than 1048576 bytes"), "{problems:?}");
}

#[test]
fn what_is_left_out_has_a_default_that_is_told() {
    let loaded = parsed(GOOD).unwrap();
    let defaults: Vec<_> = loaded.defaults.iter().map(|(p, v)| format!("{p} {v}")).collect();
    for wanted in [
        "spec.apiPort 6443",
        "spec.network.podSubnet 10.244.0.0/16",
        "spec.network.plugin.flannel.port 8472",
        "spec.packages.kubernetes 1.35.4-1.1",
        "spec.joins.workers 50",
        "spec.kubeadm.imageRepository registry.k8s.io",
    ] {
        assert!(defaults.iter().any(|line| line == wanted), "{wanted}: {defaults:#?}");
    }
    assert_eq!(loaded.spec.nodes[4].name.as_str(), "worker-01");
    let given = parsed(&with("  apiPort: 7000\n")).unwrap();
    assert_eq!(given.spec.api_port, 7000);
    assert!(given.defaults.iter().all(|(path, _)| path != "spec.apiPort"));
}

#[test]
fn flannel_gets_its_network_and_images_from_the_specification() {
    let plugin = "{flannel: {backend: host-gw, image: 'r.example/flannel:1'}}";
    let text = swapped(
        "{plugin: {flannel: {}}}",
        &format!("{{podSubnet: 10.8.0.0/16, plugin: {plugin}}}"),
    );
    let Plugin::Manifest { manifest, images } = parsed(&text).unwrap().spec.network.plugin else {
        panic!("no manifest");
    };
    let documents = yaml::documents(&manifest.yaml).unwrap();
    let kinds: Vec<_> = documents.iter().map(|d| d["kind"].as_str().unwrap()).collect();
    let wanted = [
        "Namespace",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "DaemonSet",
    ];
    assert_eq!(kinds, wanted);
    let network: Value =
        serde_json::from_str(documents[4]["data"]["net-conf.json"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&network["Network"], &network["Backend"]["Type"]),
        (&"10.8.0.0/16".into(), &"host-gw".into())
    );
    let pod = &documents[5]["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], "r.example/flannel:1");
    assert_eq!(
        pod["initContainers"][0]["image"],
        "ghcr.io/flannel-io/flannel-cni-plugin:v1.8.0-flannel1"
    );
    assert_eq!(pod["containers"][0]["env"][2]["value"], "5000", "numbers as text stay text");
    assert_eq!(
        images,
        BTreeSet::from(
            ["r.example/flannel:1", "ghcr.io/flannel-io/flannel-cni-plugin:v1.8.0-flannel1"]
                .map(str::to_owned)
        )
    );
    assert_eq!(manifest.sha256, quorate_proto::Sha256::of(manifest.yaml.as_bytes()));
}

#[test]
fn choices_may_be_written_short_or_long() {
    let tcp =
        parsed(&swapped("loadBalancer: haproxy", "loadBalancer: {haproxy: {healthCheck: tcp}}"));
    assert_eq!(tcp.unwrap().spec.load_balancer, Some(HealthCheck::Tcp));
    let short = parsed(&swapped("{flannel: {}}", "flannel")).unwrap();
    assert_eq!(short.spec, parsed(GOOD).unwrap().spec);
    assert_eq!(
        parsed(&swapped("{flannel: {}}", "none")).unwrap().spec.network.plugin,
        Plugin::None
    );
    let own = "{manifest: {file: calico.yaml, images: ['quay.io/calico/node:v3.31.0']}}";
    let Plugin::Manifest { manifest, images } =
        parsed(&swapped("{flannel: {}}", own)).unwrap().spec.network.plugin
    else {
        panic!("no manifest");
    };
    assert_eq!((manifest.name.as_str(), images.len()), ("calico", 1));
}

#[test]
fn scalars_are_taken_as_they_are_written() {
    let text = with("  kubeadm: {extraArgs: {apiServer: {v: 4, profiling: no, x: 1.30}}}\n");
    let arguments = parsed(&text).unwrap().spec.kubeadm.extra_args.api_server;
    assert_eq!(arguments["v"], "4");
    assert_eq!(arguments["profiling"], "no");
    assert_eq!(arguments["x"], "1.30");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text =
        with("  apiPrt: 1\n  joins: {workers: 0, wrkers: 1}\n").replace("cp-[1-3]", "cp-[3-1]");
    let paths = |text: &str| -> Vec<_> {
        parsed(text).unwrap_err().0.into_iter().map(|p| p.path).collect()
    };
    assert_eq!(paths(&text), ["spec.apiPrt", "spec.joins.workers", "spec.joins.wrkers"]);
    let text = text.replace("workers: 0, ", "");
    assert_eq!(paths(&text), ["spec.nodes[1].name", "spec.apiPrt", "spec.joins.wrkers"]);
}

#[test]
fn the_shape_is_checked() {
    let cases = [
        (swapped("spec:", "spec: ["), "", "spaces alone"),
        (swapped("kind: Cluster", "kind: Cluster\nkind: Cluster"), "", "there twice"),
        (swapped("metadata: {name: lab}\n", ""), "metadata", "metadata is missing"),
        (swapped("{name: lab}", "lab"), "metadata", "write a mapping"),
        (swapped("{name: lab}", "{name: }"), "metadata.name", "metadata.name is empty"),
        (
            swapped("address: 10.0.0.10", "adress: 10.0.0.10, address: 10.0.0.10"),
            "spec.nodes[0].adress",
            "did you mean `address`?",
        ),
        (with("  zzz: 1\n"), "spec.zzz", "known: apiPort, containerd"),
        (with("  networking: {}\n"), "spec.networking", "it is called network"),
        (
            with("  kubeadm: {featureGates: {A: true}}\n"),
            "spec.kubeadm.featureGates",
            "default feature gates",
        ),
        (with("  etcd: external\n"), "spec.etcd", "yet"),
        (with("  etcd: {external: {endpoints: []}}\n"), "spec.etcd", "yet"),
        (with("  apiPort: 70000\n"), "spec.apiPort", "from 1 to 65535"),
        (with("  apiPort: six\n"), "spec.apiPort", "spec.apiPort is `six`"),
        (
            with("  containerd: {systemdCgroup: 1}\n"),
            "spec.containerd.systemdCgroup",
            "true or false",
        ),
        (
            swapped("{flannel: {}}", "calico"),
            "spec.network.plugin",
            "known: flannel, manifest, none",
        ),
        (
            swapped("{flannel: {}}", "{cilium: {}}"),
            "spec.network.plugin",
            "unknown plugin `cilium`",
        ),
        (
            swapped("{flannel: {}}", "{flannel: {mtu: 1}}"),
            "spec.network.plugin.flannel.mtu",
            "unknown field",
        ),
        (swapped("[worker]", "[wroker]"), "spec.nodes[2].roles[0]", "did you mean `worker`?"),
        (swapped("[worker]", "worker"), "spec.nodes[2].roles", "write a list"),
    ];
    each_has(Severity::Error, &cases);
}

#[test]
fn head_version_and_nodes_are_checked() {
    let cases = [
        (swapped("v1alpha1", "v1"), "apiVersion", "quorate.dev/v1alpha1"),
        (swapped("kind: Cluster", "kind: cluster"), "kind", "kind: Cluster"),
        (swapped("name: lab}", "name: My_Lab}"), "metadata.name", "cannot name a cluster"),
        (swapped("v1.35.4", "v1.32.9"), "spec.kubernetes.version", "etcd-join"),
        (swapped("v1.35.4", "v1.37.0"), "spec.kubernetes.version", "from v1.33 to v1.36"),
        (swapped("v1.35.4", "1.35"), "spec.kubernetes.version", "is not a Kubernetes version"),
        (swapped("name: lb-1", "name: LB-1"), "spec.nodes[0].name", "is not a name"),
        (swapped("cp-[1-3]", "cp-[1-3"), "spec.nodes[1].name", "worker-[1-50]"),
        (
            swapped("cp-[1-3]", "worker-[10-12]"),
            "spec.nodes[2].name",
            "two nodes are called worker-10",
        ),
        (
            swapped("address: 10.0.0.10", "address: 10.0.0.300"),
            "spec.nodes[0].address",
            "not an IP address",
        ),
        (
            swapped("10.0.1.[1-12]", "10.0.1.[1-11]"),
            "spec.nodes[2].address",
            "12 names for 11 addresses",
        ),
        (
            swapped("address: 10.0.0.11", "address: 127.0.0.1"),
            "spec.nodes[1].address",
            "no address of a machine",
        ),
        (
            swapped("10.0.1.[1-12]", "10.0.0.13"),
            "spec.nodes[2].address",
            "address 10.0.0.13 of cp-3",
        ),
        (swapped("[control-plane]", "[control-plane, worker]"), "spec.nodes[1].roles", "taint"),
        (swapped("[worker]", "[]"), "spec.nodes[2].roles", "has no role"),
        (swapped("[control-plane]", "[worker]"), "spec.nodes", "role control-plane"),
        (swapped("cp-[1-3]", "cp-[1-9]"), "spec.nodes", "3 or 5 control planes"),
    ];
    // Names that are taken are told one by one; three of them here.
    let (duplicates, others): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|(_, _, fragment)| fragment.starts_with("two nodes"));
    each_has(Severity::Error, &others);
    for (text, path, fragment) in duplicates {
        let problems = parsed(&text).unwrap_err().0;
        assert_eq!(problems.len(), 3);
        assert!(problems[0].path == path && problems[0].message.contains(fragment), "{problems:?}");
    }
    let no_nodes = format!("{}  nodes: []\n", GOOD.split_once("  nodes:").unwrap().0);
    let problems = parsed(&no_nodes).unwrap_err();
    assert!(problems.render(false).contains("there are no nodes"), "{problems:?}");
}

#[test]
fn networks_are_checked() {
    let net = |fields: &str| swapped("{plugin:", &format!("{{{fields}, plugin:"));
    let pod = "spec.network.podSubnet";
    let service = "spec.network.serviceSubnet";
    let cases = [
        (net("podSubnet: 10.244.0.0"), pod, "is no network"),
        (net("podSubnet: 10.244.0.1/16"), pod, "write 10.244.0.0/16"),
        (net("podSubnet: 10.97.0.0/16"), pod, "overlap"),
        (net("podSubnet: 10.244.0.0/25"), pod, "pods of one node"),
        (net("podSubnet: 10.244.0.0/21"), pod, "pods of 16 nodes"),
        (net("podSubnet: 64.0.0.0/7"), pod, "from /8 to /20"),
        (net("podSubnet: 'fd00:1::/56'"), service, ""),
        (net("serviceSubnet: 172.0.0.0/11"), service, "from /12 to /28"),
        (net("serviceSubnet: 10.97.0.0/29"), service, "too small"),
        (net("podSubnet: 10.0.0.0/16"), "spec.nodes[0].address", "inside the pod subnet"),
        (net("serviceSubnet: 10.0.1.0/24"), "spec.nodes[2].address", "inside the service subnet"),
        (net("dnsDomain: Cluster.local"), "spec.network.dnsDomain", "no domain"),
        (
            swapped("{flannel: {}}", "{flannel: {backend: host-gw, port: 1}}"),
            "spec.network.plugin.flannel.port",
            "no port",
        ),
        (
            swapped("{flannel: {}}", "{flannel: {image: flannel}}"),
            "spec.network.plugin.flannel.image",
            "full name",
        ),
        (
            swapped("{flannel: {}}", "{manifest: {file: none.yaml}}"),
            "spec.network.plugin.manifest.file",
            "reading",
        ),
        (
            swapped("{flannel: {}}", "{manifest: {file: no-objects.yaml}}"),
            "spec.network.plugin.manifest.file",
            "no Kubernetes object",
        ),
    ];
    let (family, others): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|(_, _, fragment)| fragment.is_empty());
    each_has(Severity::Error, &others);
    let problems = parsed(&family[0].0).unwrap_err().render(false);
    assert!(problems.contains("is IPv6, and lb-1 is IPv4"), "{problems}");
    let problems = parsed(&swapped("address: 10.0.0.10", "address: 'fd00::1'")).unwrap_err();
    assert!(problems.render(false).contains("other nodes have IPv6"), "{problems:?}");
}

#[test]
fn the_endpoint_and_ports_are_checked() {
    let both = swapped("[control-plane]", "[control-plane, load-balancer]");
    let host = |host: &str| swapped("host: 10.0.0.10", &format!("host: {host}"));
    let own = |text: String| {
        text.replace("haproxy", "none")
            .replace("  - {name: lb-1, address: 10.0.0.10, roles: [load-balancer]}\n", "")
    };
    let cases = [
        (host("10.0.0.300"), "spec.endpoint.host", "neither an address nor a DNS name"),
        (host("https://api.example"), "spec.endpoint.host", "the port goes into endpoint.port"),
        (host("10.0.0.12"), "spec.endpoint.host", "cp-2, no load balancer"),
        (
            host("10.244.3.3").replace("haproxy", "none").replace("load-balancer", "worker"),
            "spec.endpoint.host",
            "inside the pod subnet",
        ),
        (swapped("haproxy", "none"), "spec.loadBalancer", "lb-1 has the role"),
        (swapped("[load-balancer]", "[worker]"), "spec.loadBalancer", "no node has the role"),
        (own(host("10.0.1.1")), "spec.endpoint.host", "where no API server runs"),
        (
            own(host("10.0.0.11").replace("port: 6443", "port: 8443")),
            "spec.endpoint.port",
            "write port: 6443",
        ),
        (with("  apiPort: 10250\n"), "spec.apiPort", "taken on every control plane"),
        (
            swapped("[control-plane]", "[control-plane], agentPort: 6443")
                .replace("cp-[1-3]", "cp-1"),
            "spec.nodes[1].agentPort",
            "share a port",
        ),
        (
            swapped("[load-balancer]", "[load-balancer], agentPort: 6443"),
            "spec.nodes[0].agentPort",
            "load balancer share a port",
        ),
        (
            both.replace("cp-[1-3]", "cp-1").replace("10.0.0.10, port", "vip.example, port"),
            "spec.endpoint.port",
            "both would listen on port 6443",
        ),
    ];
    each_has(Severity::Error, &cases);
    let fine = [
        host("api.example.org"),
        swapped("10.0.0.10, port: 6443", "lb-1"),
        both.replace("port: 6443", "port: 8443").replace("10.0.0.10, port", "vip.example, port"),
    ];
    for text in fine {
        let loaded = parsed(&text).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert_eq!(loaded.warnings, [], "{text}");
    }
}

#[test]
fn what_has_a_price_is_a_warning() {
    let two = "  - {name: lb-2, address: 10.0.0.9, roles: [load-balancer]}\n";
    let cases = [
        (
            swapped("cp-[1-3]", "cp-[1-4]"),
            "spec.nodes",
            "4 control planes survive the loss of 1, as 3 do, and writes need 3 members instead of 2",
        ),
        (swapped("cp-[1-3]", "cp-[1-2]"), "spec.nodes", "survive the loss of 0, as 1 do"),
        (swapped("host: 10.0.0.10", "host: 10.0.0.99"), "spec.endpoint.host", "keepalived"),
        (with(two), "spec.endpoint.host", "the endpoint is lb-1 alone"),
        (
            swapped("haproxy", "none")
                .replace("load-balancer", "worker")
                .replace("host: 10.0.0.10", "host: cp-1"),
            "spec.endpoint.host",
            "without it no client",
        ),
    ];
    each_has(Severity::Warning, &cases);
}

#[test]
fn overrides_are_checked() {
    let kubeadm = |fields: &str| with(&format!("  kubeadm: {{{fields}}}\n"));
    let cases = [
        (kubeadm("kubeletConfiguration: {clusterDNS: [10.96.0.11]}"), "spec.kubeadm.kubeletConfiguration.clusterDNS", "tenth address"),
        (kubeadm("kubeletConfiguration: {kind: X}"), "spec.kubeadm.kubeletConfiguration.kind", "quorate writes it"),
        (kubeadm("kubeletConfiguration: {cgroupDriver: cgroupfs}"), "spec.containerd.systemdCgroup", "systemdCgroup: false"),
        (with("  containerd: {systemdCgroup: false}\n"), "spec.containerd.systemdCgroup", "cgroupDriver is systemd"),
        (kubeadm("kubeletConfiguration: {featureGates: {ControlPlaneKubeletLocalMode: true}}"), "spec.kubeadm.kubeletConfiguration.featureGates.ControlPlaneKubeletLocalMode", "no component knows"),
        (kubeadm("extraArgs: {apiServer: {feature-gates: 'A=true,ControlPlaneKubeletLocalMode=true'}}").replace("v1.35.4", "v1.36.1"), "spec.kubeadm.extraArgs.apiServer.feature-gates", "v1.36 removed it"),
        (kubeadm("kubeProxyConfiguration: {clusterCIDR: x}"), "spec.kubeadm.kubeProxyConfiguration.clusterCIDR", "podSubnet"),
        (kubeadm("extraArgs: {etcd: {initial-cluster-state: new}}"), "spec.kubeadm.extraArgs.etcd.initial-cluster-state", "membership"),
        (kubeadm("extraArgs: {kubelet: {--v: 4}}"), "spec.kubeadm.extraArgs.kubelet.--v", "without dashes"),
        (kubeadm("certSANs: ['https://x']"), "spec.kubeadm.certSANs[0]", "without port or scheme"),
    ];
    each_has(Severity::Error, &cases);
    let older = parsed(&swapped("v1.35.4", "v1.33.1")).unwrap().spec;
    assert_eq!(older.containerd.sandbox_image, "registry.k8s.io/pause:3.10");
    let mirror = parsed(&kubeadm("imageRepository: r.example/k8s")).unwrap().spec;
    assert_eq!(mirror.containerd.sandbox_image, "r.example/k8s/pause:3.10.1");
}

#[test]
fn packages_and_images_are_checked() {
    let repository = |fields: &str| with(&format!("  packages: {{repository: {{{fields}}}}}\n"));
    let at = |field: &str| repository(&format!("url: 'https://x/', {field}"));
    let archive = |fields: &str| with(&format!("  images: {{archives: [{{{fields}}}]}}\n"));
    let good_digest = format!("sha256: {DIGEST}");
    let cases = [
        (with("  packages: {kubernetes: 1.35.3-1.1}\n"), "spec.packages.kubernetes", "1.35.4-1.1"),
        (at("keyFile: none.asc"), "spec.packages.repository.keyFile", "none.asc"),
        (at("keyFile: private.asc"), "spec.packages.repository.keyFile", "private key"),
        (at("keyFile: binary.asc"), "spec.packages.repository.keyFile", "armored"),
        (at("name: a"), "spec.packages.repository", "which key signs"),
        (at("keyFile: key.asc, key: x"), "spec.packages.repository.key", "twice"),
        (at("keyFile: key.asc, name: ../x"), "spec.packages.repository.name", "cannot name a file"),
        (
            at("keyFile: key.asc, components: [main]"),
            "spec.packages.repository.components",
            "has no components",
        ),
        (
            at("keyFile: key.asc, suite: stable"),
            "spec.packages.repository.components",
            "needs components",
        ),
        (
            repository("url: 'https://me:pw@x/', keyFile: key.asc"),
            "spec.packages.repository.url",
            "password",
        ),
        (repository("url: 'x', keyFile: key.asc"), "spec.packages.repository.url", "SCHEME://"),
        (
            archive(&format!("url: 'ftp://x/a', {good_digest}")),
            "spec.images.archives[0].url",
            "http, https, file",
        ),
        (
            archive("url: 'https://x/a', sha256: 12"),
            "spec.images.archives[0].sha256",
            "64 hexadecimal digits",
        ),
        (
            archive(&format!("url: 'https://x/a', {good_digest}, names: [pause]")),
            "spec.images.archives[0].names[0]",
            "full name",
        ),
        (with("  images: {archivesFile: none.yaml}\n"), "spec.images.archivesFile", "none.yaml"),
    ];
    each_has(Severity::Error, &cases);
    for (text, _, _) in &cases {
        let shown =
            parsed(text).unwrap_err().0.iter().map(|p| p.message.clone()).collect::<String>();
        assert!(!shown.contains("pw"), "a message holds a password: {shown}");
    }
}

#[test]
fn a_problem_in_a_companion_is_shown_there() {
    let problems = parsed(&with("  images: {archivesFile: bad-images.yaml}\n")).unwrap_err();
    let places: Vec<_> = problems.0.iter().map(|p| (p.path.as_str(), p.line)).collect();
    assert_eq!(places, [("[1].url", 2), ("[1].sha256", 2), ("[1].sha", 2)]);
    assert!(
        problems.render(false).contains("--> bad-images.yaml:2:"),
        "{}",
        problems.render(false)
    );
}

#[test]
fn the_schema_knows_every_field_of_the_sample_and_of_the_reference() {
    let schema = schema();
    let reference = include_str!("../../../docs/SPEC.md");
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let fields = definitions
        .filter_map(|definition| definition["properties"].as_object())
        .flat_map(|properties| properties.iter());
    for (field, inner) in fields {
        assert!(reference.contains(&format!("`{field}`")), "docs/SPEC.md lacks {field}");
        assert!(inner.get("description").is_some() || inner.get("$ref").is_some(), "{field}");
    }
    assert!(
        parse(SAMPLE, "x", Path::new("/nowhere"))
            .unwrap_err()
            .0
            .iter()
            .all(|p| p.message.starts_with("reading"))
    );
}
