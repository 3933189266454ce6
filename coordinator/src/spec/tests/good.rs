//! Good specifications, and what they come to mean.

use std::collections::BTreeSet;

use quorate_proto::goal::HealthCheck;

use super::*;

#[test]
fn the_sample_is_the_lab() {
    let loaded = parsed(SAMPLE).unwrap_or_else(|problems| panic!("{}", problems.render(false)));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.sha256, Sha256::of(SAMPLE.as_bytes()));
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
    fs::write(&path, "x".repeat(companion::LARGEST + 1)).unwrap();
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
    assert_eq!(manifest.sha256, Sha256::of(manifest.yaml.as_bytes()));
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
fn the_pause_image_is_that_of_kubeadm() {
    for (version, tag) in [("v1.33.1", "3.10"), ("v1.34.0", "3.10.1"), ("v1.36.1", "3.10.2")] {
        let spec = parsed(&swapped("v1.35.4", version)).unwrap().spec;
        assert_eq!(spec.containerd.sandbox_image, format!("registry.k8s.io/pause:{tag}"));
    }
    let mirror = parsed(&with("  kubeadm: {imageRepository: r.example/k8s}\n")).unwrap().spec;
    assert_eq!(mirror.containerd.sandbox_image, "r.example/k8s/pause:3.10.1");
}

#[test]
fn nodes_may_take_smaller_networks() {
    let text = swapped("{plugin:", "{podSubnet: 10.244.0.0/21, plugin:");
    assert!(parsed(&text).is_err());
    let mask = "  kubeadm: {extraArgs: {controllerManager: {node-cidr-mask-size: 26}}}\n";
    let spec = parsed(&format!("{text}{mask}")).unwrap().spec;
    assert_eq!(spec.network.pod_subnet.prefix_len(), 21);
}

#[test]
fn a_digest_that_looks_like_a_number_stays_text() {
    let digest = "1".repeat(64);
    let archive = format!("  images: {{archives: [{{url: 'http://x/a', sha256: {digest}}}]}}\n");
    assert_eq!(parsed(&with(&archive)).unwrap().spec.images[0].sha256.as_str(), digest);
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
fn the_schema_knows_every_field_of_the_sample_and_of_the_reference() {
    let schema = schema();
    let reference = include_str!("../../../../docs/SPEC.md");
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

#[test]
fn every_field_has_a_class() {
    let schema: Value = serde_json::from_str(&schema()).unwrap();
    let mut leaves = BTreeSet::new();
    leaves_below(&schema, &schema, "", &mut leaves);
    assert!(leaves.len() > 40, "{leaves:?}");
    for leaf in &leaves {
        assert!(class::class_of(leaf).is_some(), "{leaf} has no row in spec/class.rs");
    }
    for field in class::FIELDS {
        let below = |leaf: &String| {
            leaf.strip_prefix(field.path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let known = leaves.iter().any(below);
        assert!(known, "{} is no field", field.path);
    }
}

/// Paths of all fields that have no fields below them, items of a list as `[]`.
fn leaves_below(root: &Value, schema: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    let target = schema["$ref"].as_str().and_then(|at| root.pointer(at.strip_prefix('#')?));
    let forms = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array());
    for form in target.into_iter().chain(forms.flatten()) {
        leaves_below(root, form, path, leaves);
    }
    if schema["items"].is_object() {
        leaves_below(root, &schema["items"], &format!("{path}[]"), leaves);
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let before = leaves.len();
        leaves_below(root, below, &path, leaves);
        if leaves.len() == before {
            leaves.insert(path);
        }
    }
}

#[test]
fn reference_lists_the_class_of_each_field() {
    let rows: String = class::FIELDS
        .iter()
        .map(|field| format!("| `{}` | {} | {} |\n", field.path, field.class.as_str(), field.why))
        .collect();
    let reference = include_str!("../../../../docs/SPEC.md");
    assert!(reference.contains(&rows), "docs/SPEC.md should have these rows:\n{rows}");
}
