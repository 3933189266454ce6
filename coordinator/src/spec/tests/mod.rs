//! Whole specifications: what the tests of good and of bad ones share.

mod bad;
mod good;

use std::fs;

use serde_json::Value;

use super::*;

const SAMPLE: &str = include_str!("../../../../packaging/cluster.yaml");
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
