//! kubeadm's configuration: recorded documents, and kubeadm's own judgement of them.

use quorate_proto::goal::Entry;

use super::*;
use crate::kubeadm::sample;

/// The golden text shows a reviewer what kubeadm is given; `kubeadm_accepts_every_document` has
/// kubeadm itself judge it.
#[test]
fn the_founding_configuration_is_as_reviewed() {
    let text = init(&sample::node(Entry::Founder), Some(&sample::material()));
    assert_eq!(text, include_str!("golden/init.yaml"));
}

#[test]
fn the_joining_configurations_are_as_reviewed() {
    let text = join(&sample::node(Entry::ControlPlane), &sample::material());
    assert_eq!(text, include_str!("golden/join-control-plane.yaml"));
    let text = join(&sample::node(Entry::Worker), &sample::material());
    assert_eq!(text, include_str!("golden/join-worker.yaml"));
}

#[test]
fn a_founding_without_material_has_no_secret() {
    let text = init(&sample::node(Entry::Founder), None);
    assert!(!text.contains("bootstrapTokens") && !text.contains("certificateKey"), "{text}");
}

#[test]
fn a_joining_node_discovers_the_cluster_by_its_authority() {
    let mut material = sample::material();
    assert!(join_files(&sample::node(Entry::Worker), &material).is_some());
    material.ca_pem = None;
    assert!(join_files(&sample::node(Entry::Worker), &material).is_none());
}

#[test]
fn overrides_win_key_by_key() {
    let mut node = sample::node(Entry::Founder);
    node.cluster.kubelet.insert("cgroupDriver".to_owned(), json!("cgroupfs"));
    assert_eq!(
        kubelet(&node.cluster),
        json!({"cgroupDriver": "cgroupfs", "rotateCertificates": true, "failCgroupV1": false})
    );
    let mut base = json!({"a": {"b": 1, "c": 2}});
    merge(&mut base, &json!({"a": {"b": 3}}));
    assert_eq!(base, json!({"a": {"b": 3, "c": 2}}));
}

#[test]
fn what_a_document_lacks_is_named_by_its_path() {
    let found = json!({"a": {"b": 1}, "more": true});
    assert_eq!(lacks(&found, &json!({"a": {"b": 1}})), None);
    assert_eq!(lacks(&found, &json!({"a": {"b": 2}})), Some("a.b".to_owned()));
    assert_eq!(lacks(&found, &json!({"c": {"d": 2}})), Some("c".to_owned()));
    assert_eq!(lacks(&found, &json!({"c": false, "d": 0, "e": ""})), None, "zero is left out");
}

#[test]
fn service_addresses_are_counted_as_kubeadm_counts() {
    let mut cluster = sample::cluster();
    assert_eq!(service_ip(&cluster, 1).to_string(), "10.96.0.1");
    assert_eq!(service_ip(&cluster, 10).to_string(), "10.96.0.10");
    cluster.service_subnet = "fd00:10::/112".parse().unwrap();
    assert_eq!(service_ip(&cluster, 10).to_string(), "fd00:10::a");
}

#[test]
fn durations_are_compared_by_their_length() {
    assert_eq!(lacks(&json!("5m0s"), &json!("5m")), None);
    assert_eq!(lacks(&json!("1h30m0s"), &json!("90m")), None);
    assert!(lacks(&json!("5m0s"), &json!("6m")).is_some());
    assert!(lacks(&json!("iptables"), &json!("nftables")).is_some());
    assert!(lacks(&json!("5ms"), &json!("5m")).is_some());
}

/// The documents are judged by the kubeadm that `QUORATE_KUBEADM_BIN` names: run it with each minor.
#[test]
#[expect(clippy::print_stderr, reason = "says that it is skipped, and why")]
fn kubeadm_accepts_every_document() {
    let Some(kubeadm) = std::env::var_os("QUORATE_KUBEADM_BIN") else {
        eprintln!("skipped: QUORATE_KUBEADM_BIN does not name a kubeadm");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let material = sample::material();
    let said = std::process::Command::new(&kubeadm).args(["version", "-o", "short"]).output();
    let version = String::from_utf8(said.unwrap().stdout).unwrap().trim().parse().unwrap();
    let node = |entry| {
        let mut node = sample::node(entry);
        node.cluster.version = version;
        node
    };
    let sets = [
        init_files(&node(Entry::Founder), Some(&material)),
        init_files(&node(Entry::Founder), None),
        join_files(&node(Entry::ControlPlane), &material).unwrap(),
        join_files(&node(Entry::Worker), &material).unwrap(),
    ];
    for files in sets {
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content.expose().replace("{dir}", dir))
                .unwrap();
        }
        let config = folder.path().join(CONFIG_FILE);
        let validate = std::process::Command::new(&kubeadm)
            .args(["config", "validate", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&validate.stderr);
        // A field that kubeadm does not know is only a warning there.
        assert!(validate.status.success() && !said.contains("unknown field"), "{said}");
    }
}
