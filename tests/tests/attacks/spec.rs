//! Specifications that are wrong, by accident or on purpose, B99 to B118: each is refused with words for
//! it, and what is refused gives no plan. Which cases are shown elsewhere, or do not apply, stands in
//! docs/SECURITY.md.

use std::path::Path;

use quorate::spec;

const GOOD: &str = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: prod}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.10}
  network: {podSubnet: 10.244.0.0/16, plugin: none}
  kubeadm: {certSANs: [k8s.example.org]}
  packages: {repository: {url: 'https://pkgs.k8s.io/x/', key: \"-----BEGIN PGP PUBLIC KEY BLOCK-----\"}}
  nodes:
  - {name: lb-1, address: 10.0.0.10, roles: [load-balancer]}
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
  - {name: worker-1, address: 10.0.1.1, roles: [worker]}
";

/// What stands in the good specification, what stands there instead, and what is said of it.
const ATTACKS: &[(&str, &str, &str, &str)] = &[
    ("B99 pods where nodes are", "10.244.0.0/16", "10.0.0.0/16", "inside the pod subnet"),
    ("B99 pods where services are", "10.244.0.0/16", "10.96.0.0/16", "overlap"),
    ("B99 no such prefix", "10.244.0.0/16", "10.244.0.0/33", "10.244.0.0/33"),
    ("B99 two families", "10.244.0.0/16", "fd00::/56", "IPv6"),
    (
        "B99 a URL for an endpoint",
        "host: 10.0.0.10",
        "host: 'http://10.0.0.10'",
        "http://10.0.0.10",
    ),
    ("B99 port 0", "host: 10.0.0.10", "host: 10.0.0.10, port: 0", "port"),
    ("B99 port 65536", "host: 10.0.0.10", "host: 10.0.0.10, port: 65536", "port"),
    ("B99 a name with an underscore", "name: cp-1", "name: cp_1", "cp_1"),
    (
        "B99 a name of 64 characters",
        "name: cp-1",
        "name: a123456789b123456789c123456789d123456789e123456789f123456789g123",
        "63",
    ),
    ("B100 a name that is a shell line", "k8s.example.org", "'; rm -rf /'", "rm -rf"),
    ("B102 a repository with a password", "https://pkgs", "https://u:p@pkgs", "password"),
    ("B102 a repository of another scheme", "https://pkgs", "gopher://pkgs", "gopher"),
    ("B111 a typing error", "certSANs", "certSans", "certSANs"),
    ("B112 a key twice", "kind: Cluster", "kind: Cluster\nkind: Cluster", "kind"),
    ("B112 a name twice", "name: worker-1", "name: cp-1", "cp-1"),
    ("B112 an address twice", "10.0.1.1", "10.0.0.11", "10.0.0.11"),
    ("B113 an alias", "name: prod", "name: &a prod, x: *a", "a"),
    ("B113 a tag", "v1.35.4", "!!binary v1.35.4", "version"),
    ("B113 two documents", "kind: Cluster", "kind: Cluster\n---\nkind: Cluster", "document"),
    ("B113 a tab", "  kubernetes:", "\tkubernetes:", "tab"),
    ("B114 no, a country", "name: prod", "name: {no: no}", "name"),
    ("B114 a number for a version", "v1.35.4", "1.35", "1.35"),
    ("B115 no control plane", "[control-plane]", "[worker]", "control-plane"),
    ("B118 a secret", "kind: Cluster", "kind: Cluster\ntoken: abcdef.0123456789abcdef", "token"),
];

#[test]
fn a_wrong_specification_is_refused_in_words() {
    read(GOOD).expect("the good one");
    let wrong = ATTACKS.iter().filter_map(|(case, good, bad, says)| {
        assert!(GOOD.contains(good), "{case}: {good} is not in the specification");
        match read(&GOOD.replace(good, bad)) {
            Err(told) if told.contains(says) && told.contains("help:") => None,
            Err(told) => Some(format!("{case}: not said well: {told}")),
            Ok(()) => Some(format!("{case}: taken")),
        }
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn b113_a_specification_is_bounded_in_size_and_depth() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.yaml");
    std::fs::write(&file, format!("{GOOD}# {}\n", "x".repeat(1 << 20))).unwrap();
    let told = spec::load(&file).unwrap_err().render(false);
    assert!(told.contains("more than 1048576 bytes"), "{told}");
    let deep = GOOD.replace("none", &"[".repeat(100_000));
    read(&deep).expect_err("100,000 levels");
}

#[test]
fn b118_a_password_in_a_specification_is_refused_and_not_shown() {
    let told = read(&GOOD.replace("https://pkgs", "https://u:hunter2@pkgs")).unwrap_err();
    assert!(told.contains("https://u:*******@pkgs") && !told.contains("hunter2"), "{told}");
}

fn read(text: &str) -> Result<(), String> {
    let parsed = spec::parse(text, "cluster.yaml", Path::new("/nonexistent"));
    parsed.map(drop).map_err(|problems| problems.render(false))
}
