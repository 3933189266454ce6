//! A small run, as people see it.

use quorate_proto::{
    Activity, ActivityKind, Drift, Event, Failure, Finding, NodeName, OperationId, RunId, StepId,
    Term,
};

use super::{duration, json, live, plain, plural, runs_text, utc};
use crate::plan::Lane;
use crate::procedure::{Procedure, Removal, Title};
use crate::run::{Account, Began, Outcome, PlannedStep, RunEvent, RunState, Silent, Stamped};
use crate::store::StoredEvent;

fn node(name: &str) -> NodeName {
    name.try_into().unwrap()
}

fn step(name: &str, goal: &str) -> StepId {
    StepId { node: node(name), goal: goal.into() }
}

fn left(step: StepId, doing: &str, after: Option<&StepId>, lane: Lane) -> PlannedStep {
    let after = after.into_iter().cloned().collect();
    PlannedStep { step, doing: doing.to_owned(), after, lane }
}

fn dispatched(step: StepId, doing: &str, done: &str) -> RunEvent {
    let operation = OperationId("o".to_owned());
    RunEvent::Dispatched { step, operation, doing: doing.to_owned(), done: done.to_owned() }
}

fn doing(step: StepId, kind: ActivityKind, text: &str) -> RunEvent {
    let activity = Activity { kind, text: text.to_owned() };
    RunEvent::Told { step, event: Event::Activity(activity) }
}

fn ended(step: StepId, finding: Finding, failure: Option<Failure>) -> RunEvent {
    RunEvent::Told { step, event: Event::Ended { finding, failure } }
}

/// Two control planes: one turns swap off and joins etcd, the other fails at its packages.
fn a_run() -> Vec<Stamped> {
    let (swap, etcd) = (step("cp-1", "swap-off"), step("cp-1", "etcd-member"));
    let (packages, joins) = (step("cp-10", "packages"), step("cp-10", "etcd-member"));
    let run = RunId("run-1".to_owned());
    let nodes = vec![node("cp-1"), node("cp-10")];
    let failure = Failure {
        causes: vec!["`apt-get install` ended with status 100".to_owned(), "no space".to_owned()],
        output: vec!["E: You don't have enough free space".to_owned()],
        journal: vec!["dpkg: error: disk full".to_owned()],
        advice: Some("free space in /var and run `quorate apply` again".to_owned()),
        ..Failure::default()
    };
    let drift = Finding::Drifted(vec![Drift::new("kubeadm", "not installed", "1.35.4-1.1")]);
    let events = vec![
        (
            0,
            RunEvent::Began(Began {
                run,
                term: 3,
                cluster: "lab".to_owned(),
                nodes,
                title: Procedure::BringUp.title("lab"),
                started_ms: 1,
            }),
        ),
        (
            100,
            RunEvent::Planned {
                left: vec![
                    left(swap.clone(), "turning swap off", None, Lane::Free),
                    left(etcd.clone(), "joining etcd", Some(&swap), Lane::Membership),
                    left(packages.clone(), "installing packages", None, Lane::Free),
                    left(joins, "joining etcd", Some(&etcd), Lane::Membership),
                ],
                silent: vec![],
            },
        ),
        (100, dispatched(swap.clone(), "turning swap off", "swap is off")),
        (100, dispatched(packages.clone(), "installing packages", "packages are installed")),
        (200, doing(packages.clone(), ActivityKind::Packages, "apt-get install")),
        (300, doing(swap.clone(), ActivityKind::Own, "swapoff")),
        (400, ended(swap, Finding::Satisfied, None)),
        (400, dispatched(etcd.clone(), "joining etcd", "etcd has its member here")),
        (500, doing(etcd.clone(), ActivityKind::Kubeadm, "kubeadm join phase etcd-join")),
        (3_500, ended(packages, drift, Some(failure))),
        (12_400, ended(etcd, Finding::Satisfied, None)),
    ];
    let stamped = |(at, (at_ms, event))| Stamped { seq: at + 1, at_ms, event };
    (0_u64..).zip(events).map(stamped).collect()
}

fn entitle(events: &mut [Stamped], new: Title) {
    let RunEvent::Began(Began { title, .. }) = &mut events[0].event else { panic!("no beginning") };
    *title = new;
}

fn fold(events: &[Stamped]) -> (RunState, String) {
    let (mut state, mut text) = (RunState::default(), String::new());
    for stamped in events {
        state.fold(stamped);
        text += &plain::lines(&state, stamped);
    }
    (state, text)
}

#[test]
fn each_plain_line_tells_a_person_something() {
    let expected = "   0.0 s         run run-1 on cluster lab, 2 nodes (term 3)
   0.1 s         4 steps left
   0.2 s  cp-10  installing packages (apt-get install)
   0.4 s  cp-1   swap is off, 0.3 s
   0.5 s  cp-1   joining etcd (kubeadm join phase etcd-join)
   3.5 s  cp-10  FAILED: installing packages (step cp-10/packages)
    `apt-get install` ended with status 100
      because no space
    kubeadm: not installed, wanted 1.35.4-1.1
    its last lines:
      | E: You don't have enough free space
    the journal:
      | dpkg: error: disk full
    next: free space in /var and run `quorate apply` again
  12.4 s  cp-1   etcd has its member here, 12 s
";
    assert_eq!(fold(&a_run()).1, expected);
}

#[test]
fn a_stored_run_is_shown_as_it_was() {
    let shown = fold(&a_run());
    let stored: Vec<StoredEvent> = a_run().iter().map(stored).collect();
    assert_eq!(runs_text::replay(&stored, false), shown.1);
}

#[test]
fn an_event_of_another_version_is_said_to_be_one() {
    let mut events: Vec<StoredEvent> = a_run().iter().take(1).map(stored).collect();
    let json = "{\"kind\":\"drained\"}".to_owned();
    events.push(StoredEvent { seq: 2, at_ms: 1_200, json });
    let text = runs_text::replay(&events, false);
    let line =
        "   1.2 s         this version of quorate does not know what happened here: drained\n";
    assert!(text.ends_with(line), "{text}");
    assert_eq!(
        json::stored(&events[1]),
        "{\"seq\":2,\"at_ms\":1200,\"event\":{\"kind\":\"drained\"}}\n"
    );
}

fn stored(event: &Stamped) -> StoredEvent {
    let json = serde_json::to_string(&event.event).unwrap();
    StoredEvent { seq: event.seq, at_ms: event.at_ms, json }
}

#[test]
fn the_account_of_a_run_leaves_only_its_own_time_as_overhead() {
    let account = fold(&a_run()).0.account_until(13_000);
    assert_eq!(account.packages_ms, 3_300);
    assert_eq!(account.kubeadm_ms, 11_900);
    // Before apt-get began, and after etcd-join ended.
    assert_eq!(account.overhead_ms, 200 + 600);
    assert_eq!(account.total_ms, 13_000);
}

#[test]
fn a_terminal_shows_what_each_node_does_or_waits_for() {
    let rows = |upto: usize, at_ms| {
        let (state, _) = fold(&a_run()[..upto]);
        let rows = state.nodes.iter().map(|(name, node)| live::row(&state, name, node, at_ms));
        rows.collect::<Vec<_>>()
    };
    assert_eq!(rows(1, 50), ["being looked at", "being looked at"]);
    assert_eq!(rows(2, 100), ["next: turning swap off", "next: installing packages"]);
    assert_eq!(
        rows(9, 2_500),
        [
            "joining etcd (kubeadm join phase etcd-join), 2 s",
            "installing packages (apt-get install), 2 s"
        ]
    );
    assert_eq!(rows(11, 13_000), ["done", "FAILED: installing packages"]);
}

#[test]
fn a_node_that_is_lost_is_said_to_be_silent_until_it_answers() {
    let mut events = a_run();
    events.truncate(9);
    let etcd = step("cp-1", "etcd-member");
    let next = |events: &mut Vec<Stamped>, event| {
        let seq = events.last().map_or(1, |last| last.seq + 1);
        events.push(Stamped { seq, at_ms: 5_000, event });
    };
    next(&mut events, RunEvent::Broken { step: etcd.clone(), why: "reset by peer".to_owned() });
    let (state, _) = fold(&events);
    assert_eq!(state.nodes[0].1.silent.as_deref(), Some("reset by peer"));
    assert!(state.nodes[0].1.doing.is_some(), "it may still be joining");
    let silent = vec![Silent { node: node("cp-1"), why: "no route to host".to_owned() }];
    next(&mut events, RunEvent::Lost { step: etcd, why: "no route to host".to_owned() });
    next(&mut events, RunEvent::Planned { left: vec![], silent });
    let (state, _) = fold(&events);
    let (name, silent) = &state.nodes[0];
    assert_eq!(live::row(&state, name, silent, 0), "does not answer: no route to host");
    next(&mut events, RunEvent::Planned { left: vec![], silent: vec![] });
    assert_eq!(fold(&events).0.nodes[0].1.silent, None);
}

#[test]
fn the_end_of_a_run_says_what_to_do_next() {
    let mut events = a_run();
    let outcomes = [
        (
            Outcome::Failed { left: vec![step("cp-10", "packages"), step("cp-10", "etcd-member")] },
            "cluster lab is not complete: 2 steps left on cp-10\n  cp-10 failed installing \
             packages: `apt-get install` ended with status 100\nnext: see to what failed, then \
             run `quorate apply` again: it goes on from here\n",
        ),
        (
            Outcome::Superseded {
                node: node("cp-1"),
                by: Term { number: 4, run: RunId("run-2".to_owned()) },
            },
            "node cp-1 obeys run run-2 (term 4)",
        ),
        (
            Outcome::Interrupted { left: 3, running: vec![step("cp-10", "etcd-member")] },
            "interrupted: 3 steps left\n  cp-10 goes on joining etcd\nnext: run `quorate apply` again",
        ),
        (Outcome::Blocked { reasons: vec!["start cp-2".to_owned()] }, "start cp-2"),
        (Outcome::Holds, "cluster lab is as specified: 2 steps done in 13 s"),
    ];
    let (state, _) = fold(&events);
    let account = state.account_until(13_000);
    for (outcome, expected) in outcomes {
        let event = RunEvent::Finished { outcome, account: account.clone() };
        events.push(Stamped { seq: 12, at_ms: 13_000, event });
        let (_, text) = fold(&events);
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("quorate itself 0.8 s (6.2 %)"), "{text}");
        events.pop();
    }
}

#[test]
fn where_nothing_failed_the_silent_nodes_are_what_to_see_to() {
    let mut events = a_run();
    events.truncate(2);
    let silent = vec![Silent { node: node("cp-10"), why: "no route to host".to_owned() }];
    let left = vec![step("cp-10", "packages")];
    let outcome = Outcome::Failed { left };
    let events = events.into_iter().map(|stamped| stamped.event).chain([
        RunEvent::Planned { left: vec![], silent },
        RunEvent::Finished { outcome, account: Account::default() },
    ]);
    let stamped = |(seq, event)| Stamped { seq, at_ms: 0, event };
    let (_, text) = fold(&(1..).zip(events).map(stamped).collect::<Vec<_>>());
    let end = "  cp-10 does not answer: no route to host\n    if that machine is gone for ever, take it \
               out of the specification and run `quorate node remove cp-10`\nnext: start the agents \
               there with `systemctl start quorate-agent`, then run `quorate apply` again";
    assert!(text.contains(end), "{text}");
}

#[test]
fn durations_are_as_exact_as_people_need() {
    let texts = [40, 9_990, 12_700, 61_000, 7_800_000, 273_600_000].map(duration);
    assert_eq!(texts, ["0.0 s", "9.9 s", "12 s", "1 min 1 s", "2 h 10 min", "3 d 4 h"]);
    assert_eq!(utc(1_750_000_000_999), "2025-06-15 15:06:40");
    assert_eq!(plural(1, "step"), "1 step");
    assert_eq!(plural(0, "step"), "0 steps");
}

#[test]
fn a_removal_says_in_the_end_what_is_left_to_a_person() {
    let mut events = a_run();
    let removal = Removal { node: node("cp-3"), addresses: Vec::new(), alive: false };
    entitle(&mut events, Procedure::Remove(removal).title("lab"));
    let account = fold(&events).0.account_until(13_000);
    let left = vec![step("cp-1", "node-removed:cp-3")];
    for (outcome, expected) in [
        (Outcome::Holds, "cp-3 is removed from cluster lab: 2 steps done in 13 s\nnext: if its"),
        (Outcome::Failed { left }, "run `quorate node remove cp-3` again: it goes on from here"),
    ] {
        let mut events = events.clone();
        let event = RunEvent::Finished { outcome, account: account.clone() };
        events.push(Stamped { seq: 12, at_ms: 13_000, event });
        let (_, text) = fold(&events);
        assert!(text.contains(expected) && text.contains(", to remove cp-3\n"), "{text}");
    }
}

#[test]
fn rotation_is_shown_by_its_notes() {
    let mut events = a_run();
    events.truncate(1);
    entitle(&mut events, Title::rotation("lab"));
    let noted = |node, text: &str| RunEvent::Noted { node, text: text.to_owned() };
    let account = Account::default();
    let finished = |outcome| RunEvent::Finished { outcome, account: account.clone() };
    let notes = [
        noted(None, "new roots are made"),
        noted(Some(node("cp-1")), "keeps trust bundle 2"),
        finished(Outcome::Blocked { reasons: vec!["cp-10: off".to_owned()] }),
    ];
    let stamp = |(seq, event)| Stamped { seq, at_ms: 200, event };
    events.extend((2..).zip(notes).map(stamp));
    let (state, text) = fold(&events);
    assert_eq!(
        text,
        "   0.0 s         run run-1 on cluster lab, 2 nodes (term 3), to change the site's roots
   0.2 s         new roots are made
   0.2 s  cp-1   keeps trust bundle 2

cluster lab: what is left must not be begun now
  cp-10: off
next: see to the above, then run `quorate trust rotate` again
  --without NODE leaves one behind, which has to be enrolled again
of 0.0 s: kubeadm 0.0 s, packages 0.0 s, images 0.0 s, waiting for Kubernetes 0.0 s, \
         quorate itself 0.0 s (0.0 %)
"
    );
    let (name, of_node) = &state.nodes[0];
    assert_eq!(live::row(&state, name, of_node, 300), "keeps trust bundle 2");
}
