//! Bad specifications, and the problems that they must give.

use super::*;

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = "\
apiVersion: quorate.dev/v1
metadata: {nme: lab}
spec:
  kubernetes: {version: v1.20.1}
  endpoint: {port: 70000}
  network: {podSubnet: 10.0.0.0/8, serviceSubnet: 10.96.0.0/12, plugin: calico}
  etcd: external
  loadBalancer: {haproxy: {healthCheck: ping}}
  nodes:
  - {name: cp-1, address: 10.9.0.11, roles: [control-plan]}
  - {name: 'cp-[3-1]', roles: [control-plane]}
  - cp-7
  joins: [1]
  wrkers: 1
";
    let problems = parsed(text).unwrap_err();
    let paths: Vec<_> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
    let wanted = [
        "kind",
        "apiVersion",
        "metadata.name",
        "metadata.nme",
        "spec.kubernetes.version",
        "spec.endpoint.host",
        "spec.endpoint.port",
        "spec.network.podSubnet",
        "spec.network.plugin",
        "spec.etcd",
        "spec.loadBalancer.haproxy.healthCheck",
        "spec.nodes[0].address",
        "spec.nodes[0].roles[0]",
        "spec.nodes[1].address",
        "spec.nodes[1].name",
        "spec.nodes[2]",
        "spec.joins",
        "spec.wrkers",
    ];
    assert_eq!(paths, wanted, "{}", problems.render(false));
}

#[test]
fn an_unknown_field_is_shown_by_its_key() {
    let shown = only_problem(&with("  apiPrt: 7000\n")).render(false);
    let golden = "\
error: unknown field `apiPrt`
  --> cluster.yaml:13:3
   |
13 |   apiPrt: 7000
   |   ^^^^^^ spec.apiPrt
   |
   = help: did you mean `apiPort`?";
    assert_eq!(shown, golden);
}

#[test]
fn a_file_that_is_no_specification_is_refused() {
    let render = |problems: Problems| problems.render(false);
    assert!(render(parsed("").unwrap_err()).starts_with("error: the file is empty\n"));
    assert!(render(parsed("- a").unwrap_err()).starts_with("error: the file is a list\n"));
    let missing = render(load(Path::new("/no/such/file")).unwrap_err());
    assert!(missing.starts_with("error: reading /no/such/file: "), "{missing}");
    assert!(!missing.contains(":1:1"), "{missing}");
}

#[test]
fn the_shape_is_checked() {
    let cases = [
        (
            swapped("[control-plane]", "[control-plan]"),
            "spec.nodes[1].roles[0]",
            "`control-plane`?",
        ),
        (
            swapped("{flannel: {}}", "{flannel: [1]}"),
            "spec.network.plugin.flannel",
            "write a mapping",
        ),
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
            swapped("{flannel: {}}", "weave"),
            "spec.network.plugin",
            "known: flannel, manifest, none",
        ),
        (swapped("{flannel: {}}", "{weave: {}}"), "spec.network.plugin", "unknown plugin `weave`"),
        (
            swapped("{flannel: {}}", "calico"),
            "spec.network.plugin",
            "{manifest: {file: calico.yaml}}",
        ),
        (
            swapped("{flannel: {}}", "{cilium: {}}"),
            "spec.network.plugin",
            "plugin `cilium` is not supported",
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
        (swapped("[worker]", "[]"), "spec.nodes[2].roles", "roles is empty"),
        (swapped("[control-plane]", "[worker]"), "spec.nodes", "role control-plane"),
        (swapped("cp-[1-3]", "cp-[1-9]"), "spec.nodes", "3 or 5 control planes"),
    ];
    each_has(Severity::Error, &cases);
    let problems = parsed(&swapped("cp-[1-3]", "worker-[10-12]")).unwrap_err().0;
    let messages: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
    let taken = ["10", "11", "12"].map(|number| format!("two nodes are called worker-{number}"));
    assert_eq!(messages, taken);
    let no_nodes = format!("{}  nodes: []\n", GOOD.split_once("  nodes:").unwrap().0);
    let problems = parsed(&no_nodes).unwrap_err();
    assert!(problems.render(false).contains("there are no nodes"), "{problems:?}");
}

#[test]
fn more_nodes_than_kubernetes_takes_are_refused() {
    // Beside the 16 nodes that are there.
    let nodes = |last: u32| {
        let range = |(number, count)| {
            format!(
                "  - {{name: 'w{number}-[1-{count}]', address: 10.{number}.0.1, roles: [worker]}}\n"
            )
        };
        let ranges = [(2, 1000), (3, 1000), (4, 1000), (5, 1000), (6, last)].map(range).concat();
        swapped("  nodes:\n", &format!("  nodes:\n{ranges}"))
            .replace("{plugin:", "{podSubnet: 100.64.0.0/10, plugin:")
    };
    let most = parsed(&nodes(984)).map_err(|problems| problems.render(false));
    assert_eq!(most.map(|loaded| loaded.spec.nodes.len()), Ok(5000));
    let problem = only_problem(&nodes(985));
    assert_eq!(problem.path, "spec.nodes");
    assert_eq!(problem.message, "5001 nodes are more than 5000");
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
            both.replace("10.0.0.10, port", "vip.example, port"),
            "spec.endpoint.port",
            "cp-1, cp-2, cp-3: load balancer and API server would both listen on port 6443",
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
            "4 control planes survive the loss of 1, no more than 3 would, and each write needs 3 of them instead of 2",
        ),
        (
            swapped("cp-[1-3]", "cp-[1-2]"),
            "spec.nodes",
            "survive the loss of 0, no more than 1 would",
        ),
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
            repository("url: 'https://me:a-password@x/', keyFile: key.asc"),
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
        assert!(!shown.contains("a-password"), "a message holds a password: {shown}");
    }
}

#[test]
fn a_problem_in_a_companion_is_shown_there() {
    let problems = parsed(&with("  images: {archivesFile: bad-images.yaml}\n")).unwrap_err();
    let places: Vec<_> = problems.0.iter().map(|p| (p.path.as_str(), p.line)).collect();
    assert_eq!(
        places,
        [("[0].url", 1), ("[0].sha256", 1), ("[1].sha", 2), ("[1].url", 2), ("[1].sha256", 2)]
    );
    assert!(
        problems.render(false).contains("--> bad-images.yaml:2:"),
        "{}",
        problems.render(false)
    );
}

#[test]
fn a_refusal_always_says_why() {
    let lines: Vec<_> = SAMPLE.lines().collect();
    let mut texts = Vec::new();
    for at in 0..lines.len() {
        let without: Vec<_> = lines.iter().enumerate().filter(|(n, _)| *n != at).collect();
        texts.push(without.into_iter().map(|(_, line)| format!("{line}\n")).collect::<String>());
        texts.push(lines[..at].join("\n"));
        let emptied = lines[at].split_once(':').map_or("", |(key, _)| key);
        texts.push(SAMPLE.replacen(lines[at], &format!("{emptied}:"), 1));
    }
    let folder = folder();
    let refused = texts
        .iter()
        .filter_map(|text| parse(text, "cluster.yaml", folder.path()).err())
        .inspect(|problems| {
            assert!(problems.0.iter().any(|problem| problem.severity == Severity::Error));
            assert!(problems.render(false).contains("help: "));
        })
        .count();
    assert!(refused > 0);
}
