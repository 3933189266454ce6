//! Faults that are more than a kill: partitions, a full disk, wrong clocks, two coordinators, machines that never
//! come back. Each begins with a cluster of its own and ends with a complete one.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::journey::{told, unverified};
use super::matrix::{SECOND, THIRD};
use super::moment::Moment;
use super::run::{Run, RunEnd};
use super::site::{Lab, Nodes, text};
use super::table::Row;
use super::watch::Watch;

/// Plays one point.
pub(super) type Strike = fn(&Lab, &mut dyn FnMut(&str)) -> Row;

pub(super) const ALL: &[(&str, Strike)] = &[
    ("cut-both", |lab, say| partition(lab, say, "both directions", &[])),
    ("cut-in", |lab, say| partition(lab, say, "towards the node", &["in"])),
    ("cut-out", |lab, say| partition(lab, say, "from the node", &["out"])),
    ("load-balancer", load_balancer_down),
    ("leader", leader_killed),
    ("disk-full", disk_full),
    ("clock", clock_stepped),
    ("two-runs", two_runs),
    ("stopped", stopped_and_continued),
    ("never-again-learner", |lab, say| never_again(lab, say, "join phase etcd-join", 700)),
    ("never-again-voter", |lab, say| never_again(lab, say, "join phase kubelet-wait-bootstrap", 0)),
];

const REPLACED: Nodes<'_> = &["lb-1", "cp-1", "cp-2", "cp-4"];
const FOURTH: Nodes<'_> = &["lb-1", "cp-1", "cp-2", "cp-3", "cp-4"];
/// In which a cluster must be complete after the fault is over.
const PATIENCE: Duration = Duration::from_secs(300);

/// A cluster, watched, and the point that is played on it.
struct Scene<'a> {
    lab: &'a Lab,
    say: &'a mut dyn FnMut(&str),
    watch: Watch,
    row: Row,
    began: Instant,
}

impl<'a> Scene<'a> {
    /// A cluster of these nodes.
    fn new(
        lab: &'a Lab,
        say: &'a mut dyn FnMut(&str),
        nodes: Nodes<'_>,
        fault: &str,
        at: &str,
    ) -> Self {
        let spec = lab.specify(nodes);
        let mut row = Row::new(fault, at);
        complete(lab, &spec, &mut row, say);
        row.codes.clear();
        lab.write_kubeconfig(&spec);
        say(&format!("  {fault}, {at}"));
        Self { lab, say, watch: Watch::begin(lab), row, began: Instant::now() }
    }

    fn start(&self, spec: &Path) -> Run {
        Run::start(self.lab.quorate(spec, &["apply"]))
    }

    /// Reads until the moment has come.
    fn await_moment(&mut self, run: &mut Run, mut moment: Moment) {
        if !run.until(|event| moment.is_now(event)) {
            self.row.failed = Some("the moment never came".to_owned());
        }
    }

    fn note(&mut self, end: &RunEnd) {
        (self.say)(&format!("  {}", told(end)));
        self.row.codes.push(end.code);
    }

    /// Gives the command until it says that all is done, and looks at the whole.
    fn finish(mut self, spec: &Path) -> Row {
        complete(self.lab, spec, &mut self.row, self.say);
        let now = Instant::now();
        self.row.writes = Some(self.watch.writes.longest_gap(self.began, now));
        self.row.quorum = Some(self.watch.quorum.longest_gap(self.began, now));
        let verified = unverified(self.lab, spec);
        self.row.failed = self.row.failed.or(verified);
        self.row
    }
}

fn complete(lab: &Lab, spec: &Path, row: &mut Row, say: &mut dyn FnMut(&str)) {
    let began = Instant::now();
    while row.failed.is_none() {
        let end = Run::start(lab.quorate(spec, &["apply"])).end();
        say(&format!("  {}", told(&end)));
        let code = end.code;
        row.codes.push(code);
        match code {
            Some(0) => return,
            Some(1 | 4 | 5) if began.elapsed() < PATIENCE => {}
            _ => row.failed = Some("not complete in time".to_owned()),
        }
    }
}

fn partition(lab: &Lab, say: &mut dyn FnMut(&str), how: &str, direction: &[&str]) -> Row {
    let fault = format!("cut off for 60 s, {how}");
    let moment = Moment::phase("cp-3", "join phase etcd-join");
    let mut scene = Scene::new(lab, say, SECOND, &fault, &moment.to_string());
    let spec = lab.specify(THIRD);
    let mut run = scene.start(&spec);
    scene.await_moment(&mut run, moment);
    lab.lab(&[&["cut", "cp-3"], direction].concat());
    std::thread::sleep(Duration::from_secs(60));
    lab.lab(&["mend", "cp-3"]);
    scene.note(&run.end());
    scene.finish(&spec)
}

fn load_balancer_down(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    let moment = Moment::phase("cp-3", "join phase kubelet-start");
    let fault = "load balancer down for 10 s";
    let mut scene = Scene::new(lab, say, SECOND, fault, &moment.to_string());
    let spec = lab.specify(THIRD);
    let mut run = scene.start(&spec);
    scene.await_moment(&mut run, moment);
    lab.in_node("lb-1", &["systemctl", "kill", "-s", "KILL", "haproxy"]);
    lab.in_node("lb-1", &["systemctl", "stop", "haproxy"]);
    std::thread::sleep(Duration::from_secs(10));
    lab.in_node("lb-1", &["systemctl", "start", "haproxy"]);
    scene.note(&run.end());
    scene.finish(&spec)
}

fn leader_killed(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    lab.add("cp-4");
    let moment = Moment::phase("cp-4", "join phase etcd-join");
    let mut scene = Scene::new(lab, say, THIRD, "etcd's leader killed", &moment.to_string());
    let spec = lab.specify(FOURTH);
    let mut run = scene.start(&spec);
    scene.await_moment(&mut run, moment);
    let leader = ["cp-1", "cp-2", "cp-3"].into_iter().find(|node| is_leader(lab, node));
    match leader {
        Some(node) => drop(lab.in_node(node, &["pkill", "-KILL", "-x", "etcd"])),
        None => scene.row.failed = Some("etcd has no leader".to_owned()),
    }
    scene.note(&run.end());
    let row = scene.finish(&spec);
    lab.lab(&["unjoin", "cp-4"]);
    row
}

fn is_leader(lab: &Lab, node: &str) -> bool {
    let metrics = lab.in_node(node, &["curl", "-s", "http://127.0.0.1:2381/metrics"]);
    text(&metrics).lines().any(|line| line == "etcd_server_is_leader 1")
}

/// Only etcd's folder is full: the nodes of the lab share the disk of their machine.
fn disk_full(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    let at = "cp-3: /var/lib/etcd, from before the join until a run has failed";
    let mut scene = Scene::new(lab, say, SECOND, "disk full", at);
    let spec = lab.specify(THIRD);
    let mount = ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", "/var/lib/etcd"];
    lab.in_node("cp-3", &mount);
    let end = scene.start(&spec).end();
    if end.code == Some(0) {
        scene.row.failed = Some("the disk was not full".to_owned());
    }
    scene.note(&end);
    lab.in_node("cp-3", &["mount", "-o", "remount,size=2g", "/var/lib/etcd"]);
    let row = scene.finish(&spec);
    lab.lab(&["unjoin", "cp-3"]);
    lab.in_node("cp-3", &["umount", "-l", "/var/lib/etcd"]);
    row
}

/// The agent's clock, as only that is not the machine's own.
fn clock_stepped(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    let at = "cp-3, before its join until a run was blocked";
    let mut scene = Scene::new(lab, say, SECOND, "clock an hour ahead", at);
    let spec = lab.specify(THIRD);
    let stepped = lab.script("step-clock", &["cp-3", "+1h"]);
    assert!(stepped.status.success(), "step-clock: {}", text(&stepped));
    let end = scene.start(&spec).end();
    if end.code != Some(4) {
        scene.row.failed = Some("the clock was not seen to be wrong".to_owned());
    }
    scene.note(&end);
    assert!(lab.script("step-clock", &["cp-3", "back"]).status.success(), "step-clock back");
    scene.finish(&spec)
}

fn two_runs(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    let mut scene = Scene::new(lab, say, SECOND, "two runs on two hosts", "from the same moment");
    let spec = lab.specify(THIRD);
    let other = lab.second_host();
    let first = scene.start(&spec);
    let second = Run::start(other.quorate(&spec, &["apply"]));
    let (first, second) = (first.end(), second.end());
    if first.code != Some(0) && second.code != Some(0) {
        (scene.say)("  neither came to its end");
    }
    scene.note(&first);
    scene.note(&second);
    other.end_second_host();
    scene.finish(&spec)
}

fn stopped_and_continued(lab: &Lab, say: &mut dyn FnMut(&str)) -> Row {
    let moment = Moment::phase("cp-3", "join phase etcd-join");
    let fault = "coordinator stopped for 90 s while another finishes";
    let mut scene = Scene::new(lab, say, SECOND, fault, &moment.to_string());
    let spec = lab.specify(THIRD);
    let other = lab.second_host();
    let mut first = scene.start(&spec);
    scene.await_moment(&mut first, moment);
    signal("-STOP", first.pid());
    let stopped = Instant::now();
    let second = Run::start(other.quorate(&spec, &["apply"])).end();
    std::thread::sleep(Duration::from_secs(90).saturating_sub(stopped.elapsed()));
    signal("-CONT", first.pid());
    scene.note(&second);
    let end = first.end();
    if end.code != Some(5) {
        scene.row.failed = Some("the first run did not see that it was taken over".to_owned());
    }
    scene.note(&end);
    other.end_second_host();
    scene.finish(&spec)
}

fn signal(signal: &str, pid: u32) {
    let sent = Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "sending {signal} to {pid}");
}

/// A control plane dies while it joins; another of a new name takes its place.
fn never_again(lab: &Lab, say: &mut dyn FnMut(&str), phase: &'static str, after_ms: u64) -> Row {
    lab.add("cp-4");
    let fault = "node killed for ever, replaced by cp-4";
    let moment = Moment::phase("cp-3", phase);
    let mut scene = Scene::new(lab, say, SECOND, fault, &moment.to_string());
    let spec = lab.specify(THIRD);
    let mut run = scene.start(&spec);
    scene.await_moment(&mut run, moment);
    std::thread::sleep(Duration::from_millis(after_ms));
    lab.lab(&["kill", "cp-3"]);
    scene.note(&run.end());

    let spec = lab.specify(REPLACED);
    let blocked = scene.start(&spec).end();
    let told = blocked.said.iter().any(|line| line.contains("quorate node remove"));
    if blocked.code != Some(4) || !told {
        scene.row.failed = Some("it was not said how to remove the member".to_owned());
    }
    scene.note(&blocked);
    let removed = Run::start(lab.quorate(&spec, &["node", "remove", "cp-3"])).end();
    scene.note(&removed);
    let row = scene.finish(&spec);
    lab.lab(&["unjoin", "cp-4"]);
    lab.lab(&["boot", "cp-3"]);
    lab.lab(&["unjoin", "cp-3"]);
    row
}
