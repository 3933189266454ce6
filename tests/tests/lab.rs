//! The lab: six real nodes become a cluster by `make demo`, killed half-way once; the cluster loses a
//! control plane and goes on; the node comes back. Everything here is real, so it takes minutes.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and one of minutes says how far it is"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const SITE: &str = "/var/lib/quorate-lab/site";

#[test]
fn six_bare_nodes_become_a_cluster_that_survives_the_loss_of_a_control_plane() {
    if !lab(&["why-not"]).status.success() {
        assert!(std::env::var("CI").is_err(), "the lab may not be skipped in CI");
        eprintln!("skipped: this machine cannot run the lab");
        return;
    }
    lab(&["down"]);
    let _end = EndOfLab;

    kill_demo_when(|line| line.contains("cp-2") && line.contains("etcd-join"));
    assert!(demo().status().unwrap().success(), "make demo does not finish after a kill -9");

    let again = quorate(&["apply", "--output", "json"]);
    assert!(again.status.success(), "{}", text(&again));
    assert!(!text(&again).contains("\"dispatched\""), "a second apply did something");

    a_control_plane_dies_and_comes_back();
}

fn a_control_plane_dies_and_comes_back() {
    let (taken, writes) = mpsc::channel();
    // The writer ends at its first write after `writes` is dropped.
    let writer = std::thread::spawn(move || write_on(&taken));
    expect_writes(&writes, 5, "before the loss");
    assert!(lab(&["kill", "cp-1"]).status.success());
    while writes.try_recv().is_ok() {}
    expect_writes(&writes, 20, "after the loss of cp-1");

    let verify = quorate(&["verify"]);
    assert_eq!(verify.status.code(), Some(1), "{}", text(&verify));
    assert!(text(&verify).contains("cp-1"), "verify does not name cp-1: {}", text(&verify));
    drop(writes);
    writer.join().unwrap();

    assert!(lab(&["boot", "cp-1"]).status.success());
    let apply = quorate(&["apply"]);
    assert!(apply.status.success(), "{}", text(&apply));
    let verify = quorate(&["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
}

/// Writes through the load balancer, one object after the other, and tells of each that was taken.
fn write_on(taken: &mpsc::Sender<()>) {
    let kubectl = text(&lab(&["bin", "kubectl"]));
    for number in 0.. {
        let write = Command::new(kubectl.trim())
            .args(["--kubeconfig", &format!("{SITE}/kubeconfig"), "--request-timeout=2s"])
            .args(["create", "configmap", &format!("written-{number}")])
            .output()
            .unwrap();
        if write.status.success() && taken.send(()).is_err() {
            return;
        }
    }
}

/// The deadline is far beyond the three seconds in which HAProxy drops a dead API server.
fn expect_writes(writes: &mpsc::Receiver<()>, count: usize, when: &str) {
    for _ in 0..count {
        let write = writes.recv_timeout(Duration::from_secs(60));
        assert!(write.is_ok(), "writes do not go on {when}");
    }
}

fn kill_demo_when(seen: impl Fn(&str) -> bool) {
    let mut demo: Child = demo().stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        println!("{line}");
        if seen(&line) {
            kill_group(&demo);
            break;
        }
    }
    let status: ExitStatus = demo.wait().unwrap();
    assert!(!status.success(), "the demo ended before it could be killed");
}

fn kill_group(child: &Child) {
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-KILL", "--", &group]).status().unwrap().success());
}

fn demo() -> Command {
    Command::new(checkout().join("tests/lab/demo"))
}

fn quorate(args: &[&str]) -> Output {
    let bin = std::env::var("QUORATE_BIN").expect("QUORATE_BIN names the folder of quorate");
    let spec = format!("{SITE}/cluster.yaml");
    Command::new(Path::new(&bin).join("quorate"))
        .args(args)
        .args(["--state", SITE, "-f", &spec])
        .output()
        .unwrap()
}

fn lab(args: &[&str]) -> Output {
    let output = Command::new(checkout().join("tests/lab/lab")).args(args).output().unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The nodes end with the test, also when it fails.
struct EndOfLab;

impl Drop for EndOfLab {
    fn drop(&mut self) {
        lab(&["down"]);
    }
}
