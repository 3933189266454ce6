//! What `plan`, `verify` and `status` say of the nodes in memory.

use std::sync::Arc;

use super::fake::order_of_another;
use super::{Fault, Site};
use crate::driver::{Drawn, check, draw_up, survey};
use crate::fleet::Fleet;
use crate::procedure::Procedure;
use crate::status::{Runs, Status};
use crate::ui::plan_text::{self, Detail};
use crate::ui::{drift_text, json, status_text};
use quorate_proto::goal::HostGoal;
use quorate_proto::{Goal, Term};

impl Site {
    async fn drawn(&self) -> Drawn {
        let fleet: Arc<dyn Fleet> = Arc::new(self.fleet.clone());
        let seen = survey(&fleet, &self.spec, None).await;
        draw_up(&fleet, &self.spec, &Procedure::BringUp, seen).await.unwrap()
    }

    async fn planned(&self) -> String {
        let title = Procedure::BringUp.title(&self.spec.name);
        plan_text::text(&self.spec, &title, &self.drawn().await.plan, Detail::Grouped)
    }

    async fn verified(&self) -> String {
        let fleet: Arc<dyn Fleet> = Arc::new(self.fleet.clone());
        let seen = survey(&fleet, &self.spec, None).await;
        let (outline, findings, observed) =
            check(&fleet, &self.spec, &Procedure::BringUp, seen).await.unwrap();
        drift_text::text(&self.spec, &outline, &findings, &observed)
    }

    async fn status(&self) -> String {
        let fleet: Arc<dyn Fleet> = Arc::new(self.fleet.clone());
        let seen = survey(&fleet, &self.spec, None).await;
        let status = Status::of(&self.spec, &seen, &Runs::default(), crate::driver::now_ms());
        status_text::text(&status, false)
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_for_each_node_what_changes_and_why_and_what_etcd_bears() {
    let site = Site::new();
    site.fleet.fault("cp-3", "etcd-member", &[Fault::Fails]);
    site.apply().await;
    let text = site.planned().await;
    let start = "cluster lab: ";
    let cp_3 = "\ncp-3 (10.0.0.13)\n  joining etcd (restarts ";
    let why = "\n      etcd-member: not so -> so\n";
    let etcd = "
etcd: now 2 voters, of which 0 may fail; afterwards 3 voters, of which 1 may fail

next: `quorate apply` does this
";
    assert!(text.starts_with(start) && text.ends_with(etcd), "{text}");
    assert!(text.contains(cp_3) && text.contains(why), "{text}");
    assert!(!text.contains("\ncp-2 ("), "nothing is left there: {text}");
    let read: serde_json::Value =
        serde_json::from_str(&json::plan(&site.drawn().await.plan, &[])).unwrap();
    assert_eq!(read["plan"]["tolerance"]["after"]["voters"], 3, "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_a_whole_cluster_says_that_nothing_is_to_do() {
    let site = Site::new();
    site.apply().await;
    let text = site.planned().await;
    assert!(text.starts_with("nothing to do: cluster lab is as specified ("), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_names_what_is_held_back_by_a_silent_node() {
    let site = Site::new();
    site.apply().await;
    site.fleet.silence("worker-1", true);
    let text = site.planned().await;
    assert!(text.contains("worker-1 does not answer (no route to host)"), "{text}");
    assert!(text.contains("cannot be done before worker-1 answers again"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_in_words_what_still_runs_and_each_restart_once() {
    let site = Site::new();
    order_of_another(&site.fleet, "cp-1", Goal::Host(HostGoal::SwapOff)).await;
    let plan = site.drawn().await.plan;
    let whole = plan_text::text(&site.spec, &Procedure::BringUp.title("lab"), &plan, Detail::Full);
    for text in [whole, plan_text::brief(&site.spec, &plan)] {
        let line = "  cp-1 is still turning swap off for an earlier run; this run follows it\n";
        assert!(text.contains(line), "{text}");
    }
    let brief = plan_text::brief(&site.spec, &plan);
    let cp_1 = brief.lines().find(|line| line.starts_with("cp-1: ")).unwrap();
    assert_eq!(cp_1.matches(", restarts the kubelet").count(), 1, "{cp_1}");
}

#[tokio::test(start_paused = true)]
async fn verify_names_each_difference_and_the_dead_node() {
    let site = Site::new();
    site.apply().await;
    let whole = site.verified().await;
    assert!(whole.ends_with(" checks, no difference\n"), "{whole}");
    site.fleet.forget("cp-2", "swap-off");
    site.fleet.silence("cp-1", true);
    let text = site.verified().await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "cp-1 does not answer: no route to host");
    assert_eq!(lines[1], "cp-2: it does not hold that swap is off");
    assert_eq!(lines[2], "    swap-off: not so, wanted so");
    assert!(lines[3].contains("1 of ") && lines[3].ends_with("1 node does not answer"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn status_shows_nodes_operations_and_etcd() {
    let site = Site::new();
    site.apply().await;
    site.fleet.silence("worker-1", true);
    site.fleet.set_term("cp-1", Term::default());
    order_of_another(&site.fleet, "cp-1", Goal::Host(HostGoal::SwapOff)).await;
    let text = site.status().await;
    let start = "cluster lab, Kubernetes v1.35.4\n\
                 all 3 control planes serve; worker-1 does not answer; cp-1 is turning swap off now\n";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains("worker-1  worker: does not answer: no route to host"), "{text}");
    assert!(text.contains("turning swap off, for 0.0 s now, since "), "{text}");
    assert!(text.contains("by order of run another (term 3), of another coordinator"), "{text}");
    let etcd = "sees it: 3 voters, leader cp-1, 1 more may fail\n  1  cp-1  voter, healthy\n";
    assert!(text.contains(etcd), "{text}");
    let next = "next: run `quorate apply` again: it follows what runs and goes on, without \
                worker-1 until the agent answers there\n";
    assert!(text.ends_with(next), "{text}");
}
