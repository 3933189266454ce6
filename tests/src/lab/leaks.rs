//! Looks for the secrets of the lab's cluster in everything that quorate wrote.

use std::fs;
use std::process::{Command, Output};

use quorate_proto::Redactor;
use quorate_proto::redact::Stream;

use super::site::{Lab, text};

/// Private keys, and what kubeconfigs hold of them. Tokens and certificate keys are gone by now, and known
/// by their shape.
const KEYS: &str = "cat /etc/kubernetes/pki/*.key /etc/kubernetes/pki/etcd/*.key /var/lib/quorate-agent/identity/key.pem; \
                    sed -n 's/.*client-key-data: //p' /etc/kubernetes/*.conf";
/// What agents wrote: their journal, ledger and audit log.
const WRITTEN: &str = "journalctl --no-pager -o cat -u 'quorate*'; \
                       find /var/lib/quorate-executor -type f -exec cat {} +";
/// A line of a key is longer; shorter ones may be anything.
const SHORTEST: usize = 40;

/// Where a secret of these nodes was found; empty if nowhere.
///
/// # Panics
/// If there was nothing to look for, or nothing to look at.
pub fn leaks(lab: &Lab, nodes: &[&str]) -> Vec<String> {
    let in_node = |node: &str, script: &str| text(&lab.in_node(node, &["sh", "-c", script]));
    let keys: String = nodes.iter().map(|node| in_node(node, KEYS)).collect();
    let is_key = |line: &&str| line.len() >= SHORTEST && !line.contains([' ', '-']);
    let keys: Vec<&str> = keys.lines().map(str::trim).filter(is_key).collect();
    assert!(keys.len() > nodes.len(), "the nodes have no keys");

    let mut places: Vec<(String, String)> =
        nodes.iter().map(|node| ((*node).to_owned(), in_node(node, WRITTEN))).collect();
    for run in run_ids(lab) {
        places.push((format!("run {run}"), text(&history(lab, &["show", &run]))));
    }
    let by_shape = places.iter().filter(|(_, said)| has_shape(said));
    let mut found: Vec<String> = by_shape.map(|(place, _)| format!("a shape: {place}")).collect();
    for file in ["store.sqlite", "store.sqlite-wal"] {
        let bytes = fs::read(lab.site.join(file)).unwrap_or_default();
        places.push((file.to_owned(), String::from_utf8_lossy(&bytes).into_owned()));
    }
    for (place, said) in &places {
        assert!(!said.is_empty() || place.ends_with("-wal"), "{place} is empty");
        if keys.iter().any(|key| said.contains(key)) {
            found.push(format!("a key: {place}"));
        }
    }
    found
}

/// The filter would hide something that was not hidden.
fn has_shape(said: &str) -> bool {
    let mut stream = Stream::new(Redactor::default());
    let mut shown = stream.push(said.as_bytes());
    shown.extend(stream.finish());
    let hidden = |text: &str| text.matches("(secret)").count();
    shown.iter().map(|line| hidden(line)).sum::<usize>() > hidden(said)
}

fn history(lab: &Lab, args: &[&str]) -> Output {
    let mut command = Command::new(lab.program("quorate"));
    command.arg("runs").args(args).arg("--state").arg(&lab.site);
    command.output().expect("quorate starts")
}

fn run_ids(lab: &Lab) -> Vec<String> {
    let runs = history(lab, &["--output", "json"]);
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).expect("runs as JSON");
    let runs = runs.get("runs").and_then(|runs| runs.as_array()).cloned().unwrap_or_default();
    let ids = runs.iter().filter_map(|run| run.get("run")?.as_str());
    ids.map(str::to_owned).collect()
}
