//! Bring-ups that were interrupted, as a person is told of them.

use std::path::Path;

use quorate_proto::{
    CaFacts, EtcdFacts, EtcdMember, Facts, KubernetesFacts, Machine, NodeName, OperationId, RunId,
    Sha256, Term, UnderWay,
};

use super::{Runs, Status};
use crate::driver::{LockHolder, Survey};
use crate::plan::{ClockOffset, Sight};
use crate::spec::{self, ClusterSpec};
use crate::store::StoredRun;
use crate::ui::{json, status_text};

/// 2025-06-15 15:06:40 UTC
const NOW: u64 = 1_750_000_000_000;
const RUN: &str = "0197a3c2-5d1e-7c4b-8f2a-1b2c3d4e5f60";

/// Three control planes and two workers that answer and hold nothing.
struct Site {
    spec: ClusterSpec,
    survey: Survey,
}

impl Site {
    fn bare() -> Self {
        let text = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: 'cp-[1-3]', address: '10.0.0.[11-13]', roles: [control-plane]}
  - {name: 'worker-[1-2]', address: '10.0.0.[21-22]', roles: [worker]}
";
        let spec = spec::parse(text, "cluster.yaml", Path::new("")).unwrap().spec;
        let mut survey = Survey::default();
        for node in &spec.nodes {
            let machine = Machine {
                machine_id: node.name.to_string(),
                clock_ms: NOW,
                cpus: 4,
                memory_mib: 8_000,
                disk_free_mib: 50_000,
                ..Machine::default()
            };
            let facts = Box::new(Facts {
                audit: None,
                nodes: None,
                node: node.name.clone(),
                agent_version: "0.1.0".to_owned(),
                machine,
                term: Term::default(),
                under_way: None,
                kubernetes: KubernetesFacts::default(),
                etcd: None,
            });
            let sight = Sight::Seen { facts, clock: ClockOffset::default() };
            survey.observed.nodes.insert(node.name.clone(), sight);
        }
        Self { spec, survey }
    }

    /// cp-1 and cp-2 serve, worker-1 has joined, the rest has its certificates.
    fn half_way() -> Self {
        let mut site = Self::bare();
        let ca = CaFacts { pem: "the authority".to_owned(), spki: Sha256::of(b"authority") };
        for node in ["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"] {
            let held = &mut site.facts(node).kubernetes;
            held.kubelet_version = "v1.35.4".parse().ok();
            held.ca = Some(ca.clone());
        }
        for node in ["cp-1", "cp-2", "worker-1"] {
            site.facts(node).kubernetes.kubelet_conf = true;
        }
        for node in ["cp-1", "cp-2"] {
            let held = &mut site.facts(node).kubernetes;
            held.static_pods = ["etcd", "kube-apiserver"].map(str::to_owned).to_vec();
            held.etcd_data = true;
            held.in_force.version = "v1.35.4".parse().ok();
        }
        site.etcd(&[voter(0xa1, "cp-1", 11), voter(0xb2, "cp-2", 12)]);
        site
    }

    fn facts(&mut self, node: &str) -> &mut Facts {
        match self.survey.observed.nodes.get_mut(&name(node)) {
            Some(Sight::Seen { facts, .. }) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn etcd(&mut self, members: &[EtcdMember]) {
        let leader = Some(0xa1);
        for node in ["cp-1", "cp-2"] {
            let members = members.to_vec();
            self.facts(node).etcd = Some(EtcdFacts { cluster_id: 7, leader, members });
        }
    }

    fn silence(&mut self, node: &str) {
        let sight = Sight::Silent { why: "no route to host".to_owned() };
        self.survey.observed.nodes.insert(name(node), sight);
    }

    /// Begun by the node's clock, which is so far ahead of ours.
    fn at(&mut self, node: &str, goal: &str, since_ms: u64, ahead_ms: i64) {
        let facts = self.facts(node);
        facts.machine.clock_ms = NOW.saturating_add_signed(ahead_ms);
        facts.under_way = Some(UnderWay {
            operation: OperationId("of the run".to_owned()),
            term: Term { number: 4, run: RunId(RUN.to_owned()) },
            goal: goal.into(),
            since_ms,
        });
        match self.survey.observed.nodes.get_mut(&name(node)) {
            Some(Sight::Seen { clock, .. }) => *clock = ClockOffset::exactly(ahead_ms),
            other => panic!("{other:?}"),
        }
    }

    fn status(&self) -> Status {
        Status::of(&self.spec, &self.survey, &Runs::default(), NOW)
    }
}

fn name(node: &str) -> NodeName {
    node.try_into().unwrap()
}

fn voter(id: u64, name: &str, host: u8) -> EtcdMember {
    let peer_urls = vec![format!("https://10.0.0.{host}:2380")];
    EtcdMember { id, name: name.to_owned(), peer_urls, learner: false, healthy: true }
}

fn learner(id: u64, name: &str, host: u8) -> EtcdMember {
    EtcdMember { learner: true, ..voter(id, name, host) }
}

fn unstarted(id: u64, host: u8) -> EtcdMember {
    EtcdMember { healthy: false, ..voter(id, "", host) }
}

#[test]
fn a_join_that_was_cut_off_is_told_with_its_operation_its_member_and_what_to_do() {
    let mut site = Site::half_way();
    site.etcd(&[voter(0xa1, "cp-1", 11), voter(0xb2, "cp-2", 12), learner(0xc3, "cp-3", 13)]);
    site.at("cp-3", "etcd-member", NOW - 65_000, 0);
    let expected = "\
cluster lab, Kubernetes v1.35.4
2 of 3 control planes serve; cp-3 is in etcd as a learner; worker-2 is joining; 1 of 2 workers \
has joined; cp-3 is joining etcd now

cp-1      control plane: serves, in etcd as a voter, kubelet v1.35.4
cp-2      control plane: serves, in etcd as a voter, kubelet v1.35.4
cp-3      control plane: in etcd as a learner, no vote yet, kubelet v1.35.4
          joining etcd, for 1 min 5 s now, since 2025-06-15 15:05:35 UTC
          by order of run 0197a3c2-5d1e (term 4), of another coordinator
worker-1  worker: joined, kubelet v1.35.4
worker-2  worker: kubelet started, not let in yet, kubelet v1.35.4

etcd, as cp-2 sees it: 2 voters, leader cp-1, 0 more may fail
  a1  cp-1  voter, healthy
  b2  cp-2  voter, healthy
  c3  cp-3  learner, healthy, https://10.0.0.13:2380

next: run `quorate apply` again: it follows what runs and goes on
";
    assert_eq!(status_text::text(&site.status(), false), expected);
}

#[test]
fn the_age_of_an_operation_does_not_depend_on_whose_clock_is_right() {
    const HOUR: i64 = 3_600_000;
    for ahead in [0, HOUR, -HOUR] {
        let mut site = Site::half_way();
        site.at("cp-3", "packages", NOW.saturating_add_signed(ahead) - 30_000, ahead);
        let status = site.status();
        let under_way = status.nodes[2].under_way.clone().unwrap();
        assert_eq!((under_way.for_ms, under_way.since_ms), (30_000, NOW - 30_000), "{ahead}");
        let text = status_text::text(&status, false);
        assert_eq!(text.contains("its clock is 1 h 0 min ahead of this machine's"), ahead > 0);
        assert_eq!(text.contains("its clock is 1 h 0 min behind this machine's"), ahead < 0);
    }
    let mut site = Site::half_way();
    site.at("cp-3", "packages", NOW + 60_000, 0);
    let under_way = site.status().nodes[2].under_way.clone().unwrap();
    assert_eq!(under_way.for_ms, 0, "the clock was set back since it began");
}

#[test]
fn bare_machines_are_no_cluster_yet() {
    let status = Site::bare().status();
    let summary = "no cluster yet; cp-1, cp-2, cp-3, worker-1 and 1 more are bare; nothing runs";
    assert_eq!(status.summary, summary);
    assert_eq!(status.next, "run `quorate apply`: nothing of the cluster is there yet");
    assert_eq!(status.etcd, None);
    let mut site = Site::bare();
    for node in ["cp-1", "cp-3", "worker-1"] {
        site.at(node, "packages", NOW, 0);
    }
    let summary = site.status().summary;
    assert!(summary.ends_with("; cp-1, cp-3, worker-1 are installing packages now"), "{summary}");
}

#[test]
fn a_silent_node_before_the_founding_blocks_it() {
    let mut site = Site::bare();
    site.silence("worker-2");
    let status = site.status();
    assert!(status.summary.ends_with(
        "worker-2 does not answer; nothing runs where there is an \
                                      answer"
    ));
    assert!(status.blocked[0].contains("worker-2 does not answer (no route to host)"));
    assert_eq!(status.next, "see to what blocks it, then run `quorate apply` again");
}

#[test]
fn a_member_whose_node_is_gone_in_its_join_blocks_the_others_by_its_id() {
    for (member, wanted) in [
        (unstarted(0xc3, 13), "added, never started, https://10.0.0.13:2380"),
        (learner(0xc3, "cp-3", 13), "learner, healthy, https://10.0.0.13:2380"),
    ] {
        let mut site = Site::half_way();
        let mut members = vec![voter(0xa1, "cp-1", 11), voter(0xb2, "cp-2", 12), member];
        site.etcd(&members);
        assert!(site.status().blocked.is_empty(), "a run finishes it");
        // cp-2 has yet to join too, and cannot before cp-3 is seen to.
        members[1].healthy = false;
        site.etcd(&members);
        site.silence("cp-3");
        let text = status_text::text(&site.status(), false);
        assert!(text.contains(&format!("  c3  cp-3  {wanted}\n")), "{text}");
        assert!(
            text.contains("blocked: etcd's member cp-3 (c3 at https://10.0.0.13:2380"),
            "{text}"
        );
        assert!(text.contains("`quorate node remove cp-3"), "{text}");
    }
}

#[test]
fn a_member_that_the_specification_does_not_name_is_said_to_be_one() {
    let mut site = Site::half_way();
    site.etcd(&[voter(0xa1, "cp-1", 11), voter(0xb2, "cp-2", 12), voter(0xd4, "old-1", 99)]);
    let text = status_text::text(&site.status(), false);
    let line = "  d4  old-1  voter, healthy, https://10.0.0.99:2380, NOT IN THE SPECIFICATION\n";
    assert!(text.contains(line), "{text}");
    assert!(
        text.contains("blocked: etcd's member old-1 (d4 at https://10.0.0.99:2380) belongs"),
        "{text}"
    );
}

#[test]
fn a_cluster_that_stands_is_said_to_and_a_run_that_goes_on_is_waited_for() {
    let mut site = Site::half_way();
    for node in ["cp-3", "worker-2"] {
        site.facts(node).kubernetes.kubelet_conf = true;
    }
    site.facts("cp-3").kubernetes.static_pods = vec!["kube-apiserver".to_owned()];
    site.etcd(&[voter(0xa1, "cp-1", 11), voter(0xb2, "cp-2", 12), voter(0xc3, "cp-3", 13)]);
    let status = site.status();
    let summary = "all 3 control planes serve; all 2 workers have joined; nothing runs";
    assert_eq!(status.summary, summary);
    assert!(status.next.contains("`quorate verify`"), "{}", status.next);

    site.silence("worker-2");
    assert!(site.status().next.starts_with("see that worker-2 runs "));

    site.at("cp-3", "packages", NOW, 0);
    let run = RunId(RUN.to_owned());
    let holder = LockHolder { pid: 4711, run: run.clone(), since_ms: NOW - 3_000 };
    let mut runs = Runs { holder: Some(holder), recorded: vec![recorded(&run)] };
    let status = Status::of(&site.spec, &site.survey, &runs, NOW);
    let next = format!("wait for run {RUN}, which is at it here as process 4711");
    assert_eq!(status.next, next);
    let text = status_text::text(&status, false);
    assert!(text.contains("(term 4), which goes on here\n"), "{text}");

    runs.holder = None;
    let status = Status::of(&site.spec, &site.survey, &runs, NOW);
    let text = status_text::text(&status, false);
    assert!(text.contains("(term 4), which is over or was cut off\n"), "{text}");
}

fn recorded(run: &RunId) -> StoredRun {
    let (id, spec_sha256) = (run.clone(), String::new());
    StoredRun { id, term: 4, spec_sha256, started_ms: NOW, ended_ms: None, outcome: None }
}

#[test]
fn programs_are_told_the_same() {
    let mut site = Site::half_way();
    site.etcd(&[voter(0xa1, "cp-1", 11), unstarted(0xc3, 13)]);
    site.at("cp-3", "etcd-member", NOW - 1_000, 0);
    site.silence("worker-2");
    let read: serde_json::Value = serde_json::from_str(&json::status(&site.status())).unwrap();
    assert_eq!(read["nodes"][0]["stage"], "serves");
    assert_eq!(read["nodes"][2]["stage"], "member-unstarted");
    assert_eq!(read["nodes"][2]["under_way"]["doing"], "joining etcd");
    assert_eq!(read["nodes"][2]["under_way"]["term"]["number"], 4);
    assert_eq!(read["nodes"][4]["silent"], "no route to host");
    assert_eq!(read["etcd"]["members"][1]["id"], "c3");
    assert_eq!(read["etcd"]["members"][1]["state"], "unstarted");
    assert_eq!(read["etcd"]["members"][1]["node"], "cp-3");
    for key in ["summary", "next", "blocked", "running"] {
        assert!(read.get(key).is_some(), "{key}");
    }
}
