//! Whole runs against nodes in memory. Time passes when all wait for it.

#![expect(clippy::wildcard_enum_match_arm, reason = "a fake models some goals, a test some events")]

mod fake;
mod settling;
mod shown;

use std::sync::{Arc, Mutex};

use quorate_proto::goal::{HostGoal, Scheduling};
use quorate_proto::{Event, Goal, RunId, StepId, Term};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::Instant;

use self::fake::{FakeFleet, Fault, node, order_of_another};
use super::{DriveError, Request, apply, draw_up, survey};
use crate::fleet::Fleet;
use crate::procedure::{Procedure, Removal};
use crate::run::{Began, Outcome, RunEvent, RunState, Stamped, View};
use crate::spec::{self, ClusterSpec};
use crate::store::{Store, StoredEvent};
use crate::ui::{plain, runs_text};

const NODES: [&str; 4] = ["cp-1", "cp-2", "cp-3", "worker-1"];

struct Site {
    folder: TempDir,
    fleet: FakeFleet,
    spec: ClusterSpec,
    presses: watch::Sender<u32>,
    seen: Arc<Mutex<Vec<Stamped>>>,
    /// What the plain view printed.
    printed: Arc<Mutex<String>>,
    /// Ctrl-C at these events, by what they are.
    press_at: Vec<fn(&RunEvent) -> bool>,
}

/// Keeps what it is shown.
struct Witness {
    seen: Arc<Mutex<Vec<Stamped>>>,
    printed: Arc<Mutex<String>>,
    presses: watch::Sender<u32>,
    press_at: Vec<fn(&RunEvent) -> bool>,
}

impl View for Witness {
    fn show(&mut self, state: &RunState, stamped: &Stamped) {
        *self.printed.lock().unwrap() += &plain::text(state, stamped, true);
        self.seen.lock().unwrap().push(stamped.clone());
        if self.press_at.first().is_some_and(|press| press(&stamped.event)) {
            self.press_at.remove(0);
            self.presses.send_modify(|presses| *presses += 1);
        }
    }

    fn tick(&mut self, _state: &RunState, _at_ms: u64) {}

    fn close(&mut self) {}
}

impl Site {
    fn new() -> Self {
        let text = "\
apiVersion: quorate.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  kubernetes: {version: v1.35.4}
  endpoint: {host: 10.0.0.11}
  network: {plugin: none}
  nodes:
  - {name: cp-1, address: 10.0.0.11, roles: [control-plane]}
  - {name: cp-2, address: 10.0.0.12, roles: [control-plane]}
  - {name: cp-3, address: 10.0.0.13, roles: [control-plane]}
  - {name: worker-1, address: 10.0.0.21, roles: [worker]}
";
        let folder = tempfile::tempdir().unwrap();
        let fleet = FakeFleet::new(&NODES);
        let spec = spec::parse(text, "cluster.yaml", folder.path()).unwrap().spec;
        let (presses, seen) = (watch::channel(0).0, Arc::default());
        let printed = Arc::default();
        Self { folder, fleet, spec, presses, seen, printed, press_at: Vec::new() }
    }

    async fn apply(&self) -> Outcome {
        self.carry_out(Procedure::BringUp).await
    }

    async fn carry_out(&self, procedure: Procedure) -> Outcome {
        self.try_to(procedure).await.unwrap()
    }

    async fn try_apply(&self) -> Result<Outcome, DriveError> {
        self.try_to(Procedure::BringUp).await
    }

    async fn try_to(&self, procedure: Procedure) -> Result<Outcome, DriveError> {
        self.seen.lock().unwrap().clear();
        self.printed.lock().unwrap().clear();
        self.presses.send_replace(0);
        let mut store = Store::open(self.folder.path()).unwrap();
        let request = Request {
            fleet: Arc::new(self.fleet.clone()),
            spec: self.spec.clone(),
            procedure: procedure.clone(),
            spec_sha256: String::new(),
            run: RunId(uuid::Uuid::now_v7().to_string()),
            began: Instant::now(),
            interrupts: self.presses.subscribe(),
        };
        let fleet: Arc<dyn Fleet> = Arc::new(self.fleet.clone());
        let seen = survey(&fleet, &self.spec, None).await;
        let first = match draw_up(&fleet, &self.spec, &procedure, seen).await {
            Ok(first) => first,
            Err(reasons) => return Ok(Outcome::Blocked { reasons }),
        };
        let witness = Witness {
            seen: Arc::clone(&self.seen),
            printed: Arc::clone(&self.printed),
            presses: self.presses.clone(),
            press_at: self.press_at.clone(),
        };
        apply(&request, first, &mut store, Box::new(witness)).await
    }

    fn seen(&self, wanted: impl Fn(&RunEvent) -> bool) -> usize {
        self.seen.lock().unwrap().iter().filter(|stamped| wanted(&stamped.event)).count()
    }

    fn stored(&self) -> Vec<Stamped> {
        self.stored_events().iter().filter_map(StoredEvent::read).collect()
    }

    fn stored_events(&self) -> Vec<StoredEvent> {
        let store = Store::open(self.folder.path()).unwrap();
        store.events(&store.newest_run().unwrap().unwrap().id).unwrap()
    }
}

fn step(name: &str, goal: &str) -> StepId {
    StepId { node: node(name), goal: goal.into() }
}

#[tokio::test(start_paused = true)]
async fn bare_nodes_become_a_cluster_and_a_second_run_sends_no_order() {
    let site = Site::new();
    assert_eq!(site.apply().await, Outcome::Holds);
    let orders = site.fleet.orders();
    assert!(orders > 40, "{orders}");
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.fleet.orders(), orders);
    assert_eq!(site.seen(|event| matches!(event, RunEvent::Dispatched { .. })), 0);
}

#[tokio::test(start_paused = true)]
async fn a_removal_is_a_run_like_any_other_with_steps_of_its_own() {
    let site = Site::new();
    site.apply().await;
    let orders = site.fleet.orders();
    let removal = Removal { node: node("worker-9"), addresses: Vec::new(), alive: false };
    let procedure = Procedure::Remove(removal);
    for _ in 0..2 {
        assert_eq!(site.carry_out(procedure.clone()).await, Outcome::Holds);
        assert_eq!(site.fleet.orders(), orders + 1, "a second run finds nothing to do");
    }
    assert_eq!(site.fleet.applied("cp-1", "node-removed:worker-9"), 1);
    let stored = site.stored();
    let RunEvent::Began(Began { title, .. }) = &stored[0].event else { panic!("{stored:?}") };
    assert_eq!(title.subject.as_ref(), Some(&node("worker-9")));
}

#[tokio::test(start_paused = true)]
async fn cordon_is_one_step_and_then_nothing_to_do() {
    let site = Site::new();
    site.apply().await;
    let orders = site.fleet.orders();
    let scheduling = Scheduling { node: node("worker-1"), unschedulable: true };
    for ending in [
        "worker-1 is cordoned in cluster lab: 1 step done in ",
        "nothing to do: worker-1 is unschedulable in cluster lab already (",
    ] {
        let procedure = Procedure::Cordon(scheduling.clone());
        assert_eq!(site.carry_out(procedure).await, Outcome::Holds);
        let printed = site.printed.lock().unwrap().clone();
        assert!(printed.contains("), to cordon worker-1\n"), "{printed}");
        assert!(printed.contains(ending), "{printed}");
    }
    assert_eq!(site.fleet.orders(), orders + 1);
    assert_eq!(site.fleet.applied("cp-1", "node-scheduling:worker-1"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_was_shown_and_holds_no_secret() {
    let site = Site::new();
    site.apply().await;
    let stored = site.stored();
    assert_eq!(stored, *site.seen.lock().unwrap());
    let text = serde_json::to_string(&stored).unwrap();
    assert!(text.contains("--token (secret)"), "the fake printed no token");
    let folder = std::fs::read_dir(site.folder.path()).unwrap();
    let files =
        folder.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect::<Vec<_>>();
    let files = String::from_utf8_lossy(&files.concat()).into_owned();
    let printed = site.printed.lock().unwrap().clone();
    let planted = site.fleet.planted.lock().unwrap().clone();
    assert!(planted.len() > 20 && files.contains("--token (secret)"));
    for secret in planted {
        for (place, text) in [("events", &text), ("store", &files), ("view", &printed)] {
            assert!(!text.contains(&secret), "{secret} is in {place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_shown_again_to_the_letter_whether_it_ended_or_was_cut_off() {
    let site = Site::new();
    site.fleet.fault("cp-3", "packages", &[Fault::Fails]);
    site.fleet.fault("cp-2", "etcd-member", &[Fault::Breaks]);
    site.apply().await;
    let printed = site.printed.lock().unwrap().clone();
    assert!(printed.contains("FAILED: installing packages"), "{printed}");
    assert_eq!(runs_text::replay(&site.stored_events(), true), printed);
    tokio::select! {
        _ = site.apply() => panic!("cp-3 takes longer than that"),
        () = tokio::time::sleep(std::time::Duration::from_secs(3)) => {}
    }
    let printed = site.printed.lock().unwrap().clone();
    assert!(printed.lines().count() > 3, "{printed}");
    assert_eq!(runs_text::replay(&site.stored_events(), true), printed);
}

#[tokio::test(start_paused = true)]
async fn each_order_is_on_disk_before_it_is_sent() {
    let mut site = Site::new();
    site.fleet.witness = Some(site.folder.path().to_owned());
    assert_eq!(site.apply().await, Outcome::Holds);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_be_recorded_sends_no_further_order() {
    let site = Site::new();
    let breaks = async {
        while site.fleet.orders() < 2 * NODES.len() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let store = rusqlite::Connection::open(site.folder.path().join("store.sqlite")).unwrap();
        store.execute_batch("DROP TABLE events").unwrap();
        site.fleet.orders()
    };
    let (outcome, before) = tokio::join!(site.try_apply(), breaks);
    let error = outcome.unwrap_err();
    assert!(matches!(error, DriveError::Store(_)), "{error:?}");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    // Those that were on their way ended.
    assert!(site.fleet.orders() <= before + NODES.len());
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_the_next_run_finishes() {
    let whole = {
        let site = Site::new();
        site.apply().await;
        site.seen(|_| true)
    };
    for kill_after in (0..whole).step_by(7) {
        let site = Site::new();
        let killed = async {
            while site.seen(|_| true) < kill_after {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            _ = site.apply() => {}
            () = killed => {}
        }
        assert_eq!(site.apply().await, Outcome::Holds, "killed after {kill_after}");
        let foundings = site.fleet.applied("cp-1", "etcd-member");
        assert_eq!(foundings, 1, "killed after {kill_after}: orders under way are followed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_mended_by_attaching_to_the_same_operation() {
    let site = Site::new();
    site.fleet.fault("cp-2", "etcd-member", &[Fault::Breaks]);
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.fleet.applied("cp-2", "etcd-member"), 1);
    assert_eq!(site.seen(|event| matches!(event, RunEvent::Broken { .. })), 1);
    let attached = |event: &RunEvent| match event {
        RunEvent::Told { event: Event::Started { attached }, .. } => *attached,
        _ => false,
    };
    assert_eq!(site.seen(attached), 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_ended_while_the_node_was_away_is_not_done_again() {
    let site = Site::new();
    site.fleet.fault("cp-2", "etcd-member", &[Fault::Away]);
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.fleet.applied("cp-2", "etcd-member"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_an_agent_that_restarts_while_it_looks() {
    let site = Site::new();
    // The round's last step: the next thing that happens is a look.
    site.fleet.fault("cp-1", "cluster-dns", &[Fault::Restarts]);
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.seen(|event| matches!(event, RunEvent::Missed { .. })), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_while_it_joins_etcd_lets_no_other_join() {
    let site = Site::new();
    site.fleet.fault("cp-2", "etcd-member", &[Fault::Gone]);
    let outcome = site.apply().await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(site.seen(|event| matches!(event, RunEvent::Lost { .. })), 1);
    assert_eq!(site.fleet.applied("cp-3", "etcd-member"), 0);
    assert_eq!(site.fleet.applied("worker-1", "kubelet-certificate"), 1, "workers go on");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_after_the_founding_is_left_out_and_joins_when_it_is_back() {
    let site = Site::new();
    site.fleet.fault("cp-2", "etcd-member", &[Fault::Fails]);
    site.fleet.fault("worker-1", "kubelet-started", &[Fault::Fails]);
    assert!(matches!(site.apply().await, Outcome::Failed { .. }));
    site.fleet.silence("worker-1", true);
    let Outcome::Failed { left } = site.apply().await else { panic!("the worker is missing") };
    assert!(left.contains(&step("worker-1", "kubelet-started")), "{left:?}");
    assert_eq!(site.fleet.applied("cp-2", "control-plane-marked"), 1, "the others go on");
    site.fleet.silence("worker-1", false);
    assert_eq!(site.apply().await, Outcome::Holds);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_not_founded_while_any_node_is_silent() {
    for silent in ["cp-3", "worker-1"] {
        let site = Site::new();
        site.fleet.silence(silent, true);
        let Outcome::Blocked { reasons } = site.apply().await else { panic!("founded blindly") };
        assert!(reasons[0].contains(&format!("{silent} does not answer")), "{reasons:?}");
        assert_eq!(site.fleet.orders(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_taken_over_stops_and_says_by_whom() {
    let site = Site::new();
    site.fleet.fault("cp-2", "packages", &[Fault::Superseded]);
    let outcome = site.apply().await;
    let Outcome::Superseded { node: by, by: term } = outcome else { panic!("{outcome:?}") };
    assert_eq!((by, term.number), (node("cp-2"), 8));
}

#[tokio::test(start_paused = true)]
async fn a_node_with_a_false_term_does_not_lead_the_run_to_it() {
    let site = Site::new();
    let far = Term { number: u64::MAX, run: RunId("z".to_owned()) };
    site.fleet.set_term("cp-2", far.clone());
    let error = site.try_apply().await.unwrap_err();
    let DriveError::OutOfReach { node: of, term, ours: 0 } = error else { panic!("{error:?}") };
    assert_eq!((of, term), (node("cp-2"), far));
    site.fleet.set_term("cp-2", Term::default());
    assert_eq!(site.apply().await, Outcome::Holds);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_tried_three_times_and_no_more() {
    let site = Site::new();
    site.fleet.fault("cp-2", "packages", &[Fault::Transient; 2]);
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.fleet.applied("cp-2", "packages"), 3);

    let site = Site::new();
    site.fleet.fault("cp-2", "packages", &[Fault::Transient; 9]);
    let Outcome::Failed { left } = site.apply().await else { panic!("it cannot hold") };
    assert!(left.contains(&step("cp-2", "packages")), "{left:?}");
    assert_eq!(site.fleet.applied("cp-2", "packages"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_not_tried_again_and_the_others_go_on() {
    let site = Site::new();
    site.fleet.fault("cp-3", "packages", &[Fault::Fails]);
    let outcome = site.apply().await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(site.fleet.applied("cp-3", "packages"), 1);
    assert_eq!(site.fleet.applied("cp-2", "control-plane-marked"), 1);
    assert_eq!(site.apply().await, Outcome::Holds);
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_another_run_is_followed_before_the_node_gets_orders() {
    let site = Site::new();
    order_of_another(&site.fleet, "cp-1", Goal::Host(HostGoal::SwapOff)).await;
    assert_eq!(site.apply().await, Outcome::Holds);
    assert_eq!(site.seen(|event| matches!(event, RunEvent::Followed { .. })), 1);
    assert_eq!(site.fleet.applied("cp-1", "swap-off"), 1);
    let began = site.stored().remove(0).event;
    assert!(matches!(began, RunEvent::Began(Began { term: 4, .. })), "{began:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_hangs_is_reported_and_left_to_itself() {
    let site = Site::new();
    site.fleet.fault("worker-1", "packages", &[Fault::Hangs]);
    let outcome = site.apply().await;
    let Outcome::Failed { left } = outcome else { panic!("{outcome:?}") };
    assert!(left.contains(&step("worker-1", "packages")), "{left:?}");
    assert!(site.seen(|event| matches!(event, RunEvent::Overdue { .. })) >= 1);
    assert_eq!(site.fleet.applied("cp-3", "control-plane-marked"), 1);
}

fn dispatched(event: &RunEvent) -> bool {
    matches!(event, RunEvent::Dispatched { .. })
}

fn interrupted(event: &RunEvent) -> bool {
    matches!(event, RunEvent::Interrupted)
}

#[tokio::test(start_paused = true)]
async fn after_ctrl_c_what_runs_ends_and_nothing_new_begins() {
    let mut site = Site::new();
    site.press_at = vec![dispatched];
    let outcome = site.apply().await;
    let Outcome::Interrupted { left, running } = outcome else { panic!("{outcome:?}") };
    assert_eq!(running, []);
    assert!(left > 30, "{left}");
    // One order a node was on its way.
    assert_eq!(site.fleet.orders(), NODES.len());
    site.press_at.clear();
    assert_eq!(site.apply().await, Outcome::Holds);
}

#[tokio::test(start_paused = true)]
async fn after_a_second_ctrl_c_the_run_leaves_at_once_and_names_what_goes_on() {
    let mut site = Site::new();
    site.press_at = vec![dispatched, interrupted];
    let outcome = site.apply().await;
    let Outcome::Interrupted { running, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!(running.len(), NODES.len(), "{running:?}");
    assert_eq!(site.fleet.orders(), 0);
    site.press_at.clear();
    assert_eq!(site.apply().await, Outcome::Holds);
}
