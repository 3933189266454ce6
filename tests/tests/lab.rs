//! The lab: six real nodes become a cluster by `make demo`, killed half-way once; the cluster loses a control plane
//! and goes on; the node comes back. Then four points of the crash matrix. All of it is real and takes minutes.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and one of minutes says how far it is"
)]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use quorate_tests::lab::{Lab, Table, Watch, leaks, sample, text};

#[test]
fn six_bare_nodes_become_a_cluster_that_survives_what_happens_to_it() {
    let lab = Lab::of_environment();
    if let Some(obstacle) = lab.obstacle() {
        assert!(std::env::var("CI").is_err(), "the lab may not be skipped in CI: {obstacle}");
        eprintln!("skipped: {obstacle}");
        return;
    }
    lab.lab(&["down"]);
    let _end = EndOfLab(lab.clone());

    kill_demo_when(&lab, |line| line.contains("cp-2") && line.contains("etcd-join"));
    assert!(lab.command("demo").status().unwrap().success(), "no demo after a kill -9");

    let again = quorate(&lab, &["apply", "--output", "json"]);
    assert!(again.status.success(), "{}", text(&again));
    // Kubernetes may still be settling; to wait for that is to change nothing.
    let orders = text(&again);
    let orders = orders.lines().filter(|line| line.contains("\"dispatched\""));
    let changes: Vec<&str> = orders.filter(|line| !line.contains("\"doing\":\"waiting")).collect();
    assert!(changes.is_empty(), "a second apply changed something: {changes:#?}");

    nothing_that_was_written_holds_a_secret(&lab);
    let logs = quorate(&lab, &["audit", "verify"]);
    assert!(logs.status.success(), "{}", text(&logs));
    nodes_get_new_keys_and_new_roots_while_they_work(&lab);
    a_control_plane_dies_and_comes_back(&lab);
    four_points_of_the_crash_matrix_hold(&lab);
}

fn nothing_that_was_written_holds_a_secret(lab: &Lab) {
    let nodes = ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];
    assert_eq!(leaks(lab, &nodes), [""; 0]);
}

fn nodes_get_new_keys_and_new_roots_while_they_work(lab: &Lab) {
    let agent = || {
        let show = ["systemctl", "show", "--property", "MainPID", "quorate-agent.service"];
        text(&lab.in_node("cp-1", &show))
    };
    let (before, watch) = (agent(), Watch::begin(lab));
    for words in [&["renew", "--all"][..], &["rotate"], &["rotate", "--retire"], &["status"]] {
        let trust = quorate(lab, &[&["trust"][..], words].concat());
        println!("{}", text(&trust));
        assert!(trust.status.success(), "trust {words:?}");
    }
    let verify = quorate(lab, &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
    watch.writes.expect(5, "while trust changed");
    assert_eq!(agent(), before, "the agent was started again");
}

fn a_control_plane_dies_and_comes_back(lab: &Lab) {
    let watch = Watch::begin(lab);
    watch.writes.expect(5, "before the loss");
    lab.lab(&["kill", "cp-1"]);
    watch.writes.expect(20, "after the loss of cp-1");
    watch.quorum.expect(5, "after the loss of cp-1");

    let verify = quorate(lab, &["verify"]);
    assert_eq!(verify.status.code(), Some(1), "{}", text(&verify));
    assert!(text(&verify).contains("cp-1"), "verify does not name cp-1: {}", text(&verify));
    drop(watch);

    lab.lab(&["boot", "cp-1"]);
    let apply = quorate(lab, &["apply"]);
    assert!(apply.status.success(), "{}", text(&apply));
    let verify = quorate(lab, &["verify"]);
    assert!(verify.status.success(), "{}", text(&verify));
}

fn four_points_of_the_crash_matrix_hold(lab: &Lab) {
    lab.lab(&["unjoin"]);
    let table = Table { rows: sample().play(lab, &mut |line| println!("{line}")) };
    println!("{table}");
    assert_eq!((table.rows.len(), table.failed()), (4, 0), "see the table");
}

fn kill_demo_when(lab: &Lab, seen: impl Fn(&str) -> bool) {
    let mut demo = lab.command("demo").stdout(Stdio::piped()).process_group(0).spawn().unwrap();
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

/// One of quorate's commands about the demo's cluster.
fn quorate(lab: &Lab, args: &[&str]) -> Output {
    let spec: &Path = &lab.site.join("cluster.yaml");
    lab.quorate(spec, args).output().unwrap()
}

/// The nodes end with the test, also when it fails.
struct EndOfLab(Lab);

impl Drop for EndOfLab {
    fn drop(&mut self) {
        self.0.script("lab", &["down"]);
    }
}
