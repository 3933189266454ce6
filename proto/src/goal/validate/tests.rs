//! A table of what agents take and what they refuse, kind by kind.

use serde_json::{Map, Value, json};

use super::*;
use crate::digest::Sha256;
use crate::goal::{ClusterGoal, EtcdGoal, HostGoal, KubeadmGoal, MemberRemoval};
use crate::secret::Secret;

/// A goal by its document, as it crosses the wire.
fn goal(kind: &str, fields: Value) -> Goal {
    let document = Map::from_iter([(kind.to_owned(), fields)]);
    serde_json::from_value(Value::Object(document)).unwrap()
}

fn sysctl(key: &str, value: &str) -> Goal {
    goal("sysctls", json!({"values": {(key): value}}))
}

fn package(name: &str, version: &str) -> Goal {
    goal("packages", json!({"packages": [{"name": name, "version": version}]}))
}

fn module(name: &str) -> Goal {
    goal("kernel-modules", json!({"modules": [name]}))
}

fn service(unit: &str) -> Goal {
    goal("service-running", json!({"unit": unit}))
}

fn source(field: &str, value: &str) -> Goal {
    let mut source = json!({
        "name": "kubernetes", "url": "https://pkgs.k8s.io/core:/stable:/v1.35/deb/", "suite": "/",
        "components": ["main"], "key": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQEN\n",
    });
    match field {
        "components" => source[field] = json!([value]),
        _ => source[field] = json!(value),
    }
    goal("package-source", source)
}

fn archive(url: &str, image: &str) -> Goal {
    let release = json!({"version": "v1.35.4", "image_repository": null, "control_plane": true});
    let archive = json!({"url": url, "sha256": "0".repeat(64), "names": [image]});
    goal("images", json!({"release": release, "names": [image], "archives": [archive]}))
}

fn containerd(image: &str) -> Goal {
    let fields = json!({
        "sandbox_image": image, "systemd_cgroup": true, "restrict_oom_score_adj": false,
    });
    goal("containerd", fields)
}

fn manifest(name: &str, yaml: &str) -> Goal {
    let sha256 = Sha256::of(yaml.as_bytes());
    goal("network", json!({"name": name, "yaml": yaml, "sha256": sha256}))
}

/// The cluster with one field changed.
fn cluster(field: &str, value: Value) -> Goal {
    let mut node = json!({
        "node": "cp-1", "address": "10.0.0.1", "entry": "founder", "cluster": {
            "name": "lab", "version": "v1.35.4", "endpoint": {"host": "10.0.0.10", "port": 6443},
            "api_port": 6443, "pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12",
            "dns_domain": "cluster.local", "ca": null,
            "control_planes": [{"node": "cp-1", "address": "10.0.0.1"}], "cert_sans": [],
            "kubelet": {}, "kube_proxy": {}, "ignore_preflight_errors": [], "image_repository": null,
            "extra_args": {
                "api_server": {}, "controller_manager": {}, "scheduler": {}, "etcd": {}, "kubelet": {},
            },
        },
    });
    node["cluster"][field] = value;
    goal("certificates", node)
}

fn many(count: usize) -> Value {
    (0..count).map(|number| format!("name-{number}")).collect()
}

fn nested(depth: usize, inner: Value) -> Value {
    (0..depth).fold(inner, |value, _| json!({ "deeper": [value] }))
}

#[test]
fn what_quorate_asks_for_is_taken() {
    let names = json!(["api.example.org", "*.example.org", "2001:db8::1"]);
    let checks = json!(["SystemVerification", "FileContent--proc-sys-net-ipv4-ip_forward"]);
    let good = [
        Goal::Host(HostGoal::SwapOff),
        Goal::Cluster(ClusterGoal::SystemPodsReady),
        sysctl("net.bridge.bridge-nf-call-iptables", "1"),
        sysctl("net.ipv4.ip_local_port_range", "32768\t60999"),
        sysctl("net.ipv4.tcp_congestion_control", "bbr"),
        sysctl("kernel.panic_on_oops", "1"),
        sysctl("vm.overcommit_memory", "-1"),
        package("kubeadm", "1.35.4-1.1"),
        package("g++", "4:12.2.0-3~bpo_1"),
        module("br_netfilter"),
        service("containerd"),
        source("suite", "bookworm"),
        source("url", "file:///srv/mirror"),
        archive("http://10.77.0.1:8080/kubernetes.tar", "registry.k8s.io/pause:3.10.1"),
        archive("https://mirror/a@b.tar", "ghcr.io/a/b@sha256:00"),
        containerd("registry.k8s.io/pause:3.10.1"),
        manifest("flannel", "kind: DaemonSet\n\tmore: \"\u{e4}\"\r\n"),
        manifest("network", &"\"".repeat(is::MANIFEST)),
        cluster("endpoint", json!({"host": "api.example.org", "port": 6443})),
        cluster("cert_sans", names),
        cluster("kubelet", nested(30, json!("0s"))),
        cluster("ignore_preflight_errors", checks),
        cluster("image_repository", json!("mirror.example.org:5000/kubernetes")),
        cluster("ignore_preflight_errors", many(is::ITEMS)),
    ];
    for goal in good {
        assert_eq!(goal.validate(), Ok(()), "{}", goal.id());
    }
}

#[test]
fn what_could_do_more_than_its_kind_is_refused() {
    let argument = |name: &str, value: &str| {
        let none = json!({});
        let arguments = json!({(name): value});
        let all = json!({"api_server": arguments, "controller_manager": none, "scheduler": none,
                         "etcd": none, "kubelet": none});
        cluster("extra_args", all)
    };
    let bad = [
        sysctl("kernel.core_pattern", "1"),
        sysctl("kernel.modprobe", "1"),
        sysctl("fs.suid_dumpable", "2"),
        sysctl("net.ipv4/../../kernel.core_pattern", "1"),
        sysctl("net..ip_forward", "1"),
        sysctl("net.", "1"),
        sysctl("", "1"),
        sysctl("net.ipv4.ip_forward", ""),
        sysctl("net.ipv4.ip_forward", "|/bin/sh"),
        sysctl("net.ipv4.ip_forward", "1\nkernel.core_pattern = x"),
        sysctl("net.ipv4.ip_forward", "1 2 3 4 5"),
        package("-o", "1"),
        package("a", "1"),
        package("kubeadm=1", "1"),
        package("Kubeadm", "1"),
        package("kubeadm", "-1"),
        package("kubeadm", "v1.35.4"),
        package("kubeadm", "1.35 rc"),
        package("kubeadm", &"1".repeat(65)),
        module("--config=/tmp/x"),
        module("../evil"),
        module("a b"),
        module(""),
        service("debug-shell"),
        service("quorate-agent"),
        service("../x"),
        source("name", "../x"),
        source("name", "-x"),
        source("suite", "/\nTrusted: yes"),
        source("components", "-o"),
        source("components", "main contrib"),
        source("url", "ftp://mirror/"),
        source("url", "https://user:secret@mirror/"),
        source("url", "https://mirror/ x"),
        source("url", "https://-x/"),
        source("url", "copy:/etc"),
        source("key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
        source("key", "key\u{1b}[2J"),
        source("key", ""),
        archive("http://mirror/a.tar\n", "registry.k8s.io/pause:3.10.1"),
        archive("http://mirror/a.tar", "--all-platforms"),
        archive("http://mirror/a.tar", "a b"),
        containerd("pause\"\nroot = \"/"),
        manifest("../x", "kind: A\n"),
        manifest("network", "kind: \u{0}\n"),
        manifest("network", &"a".repeat(is::MANIFEST + 1)),
        cluster("name", json!("a b")),
        cluster("endpoint", json!({"host": "-x", "port": 1})),
        cluster("endpoint", json!({"host": "a\n- b", "port": 1})),
        cluster("dns_domain", json!("cluster local")),
        cluster("cert_sans", json!(["a/b"])),
        cluster("kubelet", nested(3, json!("a\u{7}"))),
        cluster("kubelet", nested(3, many(is::ITEMS + 1))),
        cluster("kube_proxy", json!({ "a\nb": 1 })),
        cluster("kube_proxy", json!({ "a": "x".repeat(is::TEXT + 1) })),
        cluster("ignore_preflight_errors", json!(["-x"])),
        cluster("ignore_preflight_errors", many(is::ITEMS + 1)),
        cluster("image_repository", json!("-x")),
        argument("--profiling", "false"),
        argument("profiling", "false\n"),
    ];
    for goal in bad {
        assert!(goal.validate().is_err(), "{goal:?}");
    }
}

#[test]
fn a_manifest_is_the_one_of_its_digest() {
    let mut goal = manifest("flannel", "kind: A\n");
    if let Goal::Cluster(ClusterGoal::Network(manifest)) = &mut goal {
        manifest.yaml.push_str("---\n");
    }
    assert_eq!(goal.validate(), Err(Invalid::Digest("flannel".to_owned())));
}

#[test]
fn a_member_goes_by_an_address_that_is_one() {
    let Goal::Kubeadm(KubeadmGoal::Certificates, on) = cluster("ca", Value::Null) else {
        unreachable!()
    };
    let node = crate::NodeName::try_from("cp-2").unwrap();
    let removal = |peer_url: &str| {
        let (on, node, peer_url) = (on.clone(), node.clone(), peer_url.to_owned());
        Goal::Etcd(EtcdGoal::EtcdMemberRemoved(MemberRemoval {
            on,
            node,
            id: 1,
            peer_url,
            alive: false,
        }))
    };
    assert_eq!(removal("https://10.0.0.2:2380").validate(), Ok(()));
    assert!(removal("10.0.0.2:2380").validate().is_err());
}

#[test]
fn nodes_that_are_awaited_are_at_most_a_cluster() {
    let ready = |count: usize| {
        let name = |number| crate::NodeName::try_from(format!("worker-{number}").as_str()).unwrap();
        Goal::Cluster(ClusterGoal::NodesReady((0..count).map(name).collect()))
    };
    assert_eq!(ready(is::NODES).validate(), Ok(()));
    let (count, most) = (is::NODES + 1, is::NODES);
    let field = "the list of nodes";
    assert_eq!(ready(count).validate(), Err(Invalid::Many { field, count, most }));
}

#[test]
fn material_is_as_kubeadm_makes_it_and_is_never_shown() {
    let material = |token: &str, key: &str, ca: Option<&str>| JoinMaterial {
        token: Secret::new(token.to_owned()),
        certificate_key: Secret::new(key.to_owned()),
        ca_pem: ca.map(str::to_owned),
    };
    let (token, key) = ("abcdef.0123456789abcdef", "0f".repeat(32));
    assert_eq!(material(token, &key, Some("-----BEGIN\n")).validate(), Ok(()));
    assert_eq!(material(token, &key, None).validate(), Ok(()));
    let bad = [
        material("abcdef.0123456789abcdeF", &key, None),
        material("abcdef", &key, None),
        material("--token", &key, None),
        material(token, "0f", None),
        material(token, &"x".repeat(64), None),
        material(token, &key, Some("\u{1b}")),
        material(token, &key, Some(&"x".repeat(is::CERTIFICATE + 1))),
    ];
    for material in bad {
        let told = material.validate().unwrap_err().to_string();
        assert!(!told.contains("0123456789") && !told.contains("0f0f"), "{told}");
    }
}

#[test]
fn ids_are_plain_words() {
    for good in ["1", "0197a5ce-7c1e-7000-8000-000000000000", "run-1"] {
        assert_eq!(OperationId(good.to_owned()).validate(), Ok(()), "{good}");
    }
    for bad in ["", "-x", "a b", "a\n", "a/b", &"x".repeat(65)] {
        assert!(OperationId(bad.to_owned()).validate().is_err(), "{bad:?}");
    }
}
