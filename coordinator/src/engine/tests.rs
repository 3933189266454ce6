//! What the simulation does not reach, or reaches only by chance.

use std::time::{Duration, Instant};

use quorate_proto::goal::{ClusterGoal, HostGoal, KubeNode, Offer};
use quorate_proto::{Goal, Term, UnderWay};

use super::*;
use crate::plan::{HeldSlot, Left, Step};

/// A plan in lines such as `cp-1/a membership after cp-2/b`, all lanes of width 1.
fn plan(lines: &[&str]) -> Plan {
    let left = |line: &&str| {
        let (step, after) = line.split_once(" after ").unwrap_or((line, ""));
        let (step, lane) = step.split_once(' ').unwrap_or((step, ""));
        let goal = match id(step).goal.to_string().as_str() {
            "join-withdrawn" => Goal::Cluster(ClusterGoal::JoinWithdrawn(seat())),
            "join-offered" => {
                Goal::Cluster(ClusterGoal::JoinOffered(Offer { on: seat(), certificates: false }))
            }
            _ => Goal::Host(HostGoal::SwapOff),
        };
        let step = Step {
            id: id(step),
            goal,
            after: after.split_whitespace().map(id).collect(),
            lane: match lane {
                "membership" => Lane::Membership,
                "joins" => Lane::WorkerJoins { width: 1 },
                _ => Lane::Free,
            },
            restarts: None,
            transient: false,
            deadline_s: 1,
        };
        Left { step, finding: Finding::Drifted(Vec::new()) }
    };
    Plan { steps: lines.iter().map(left).collect(), ..Plan::default() }
}

fn seat() -> KubeNode {
    let json = serde_json::json!({
        "node": "cp-1", "address": "10.0.0.1", "entry": "founder",
        "cluster": {
            "name": "lab", "version": "v1.35.4", "endpoint": { "host": "10.0.0.9", "port": 6443 },
            "api_port": 6443, "pod_subnet": "10.244.0.0/16", "service_subnet": "10.96.0.0/12",
            "dns_domain": "cluster.local", "ca": null, "control_planes": [], "cert_sans": [],
            "kubelet": {}, "kube_proxy": {}, "ignore_preflight_errors": [],
            "image_repository": null,
            "extra_args": { "api_server": {}, "controller_manager": {}, "scheduler": {},
                            "etcd": {}, "kubelet": {} },
        },
    });
    serde_json::from_value(json).unwrap()
}

fn id(step: &str) -> StepId {
    let (node, goal) = step.split_once('/').unwrap();
    StepId { node: node.try_into().unwrap(), goal: goal.into() }
}

fn ordered(orders: &[Dispatch]) -> Vec<String> {
    let step = |order: &Dispatch| match order {
        Dispatch::Ensure { step } => step.to_string(),
        Dispatch::Attach { step, .. } => format!("attach {step}"),
        Dispatch::Await { node, .. } => format!("await {node}"),
    };
    orders.iter().map(step).collect()
}

fn start(lines: &[&str]) -> (Engine, Vec<String>) {
    let (engine, orders) = Engine::start(&plan(lines));
    (engine, ordered(&orders))
}

fn holds(engine: &mut Engine, step: &str) -> Vec<String> {
    ordered(&engine.handle(Input::Ended { step: id(step), finding: Finding::Satisfied }))
}

fn fails(engine: &mut Engine, step: &str) -> Vec<String> {
    let finding = Finding::Unknown { why: "no answer".to_owned() };
    ordered(&engine.handle(Input::Ended { step: id(step), finding }))
}

fn strings(steps: &[StepId]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

#[test]
fn a_node_does_one_thing_at_a_time_and_the_first_in_the_plan() {
    let (mut engine, orders) = start(&["a/1", "a/2", "b/1"]);
    assert_eq!(orders, ["a/1", "b/1"]);
    assert_eq!(holds(&mut engine, "a/1"), ["a/2"]);
    assert_eq!(engine.outcome(), None);
}

#[test]
fn what_waits_for_a_failed_step_never_starts_and_the_rest_goes_on() {
    let (mut engine, _) = start(&["a/1", "b/1", "a/2 after a/1", "c/1 after a/2", "b/2 after b/1"]);
    assert_eq!(fails(&mut engine, "a/1"), [""; 0]);
    assert_eq!(holds(&mut engine, "b/1"), ["b/2"]);
    holds(&mut engine, "b/2");
    let outcome = engine.outcome().unwrap();
    assert_eq!(strings(&outcome.unstarted), ["a/2", "c/1"]);
    assert_eq!(outcome.failed.first().unwrap().0, id("a/1"));
    assert!(!outcome.is_complete());
}

#[test]
fn a_lane_takes_one_and_closes_after_a_failed_change_of_membership() {
    let (mut engine, orders) = start(&["a/m membership", "b/m membership", "c/j joins"]);
    assert_eq!(orders, ["a/m", "c/j"]);
    assert_eq!(fails(&mut engine, "a/m"), [""; 0]);
    holds(&mut engine, "c/j");
    assert_eq!(strings(&engine.outcome().unwrap().unstarted), ["b/m"]);
}

#[test]
fn a_failed_worker_join_leaves_its_lane_to_the_next() {
    let (mut engine, _) = start(&["a/j joins", "b/j joins"]);
    assert_eq!(fails(&mut engine, "a/j"), ["b/j"]);
}

#[test]
fn a_lost_node_keeps_its_place_until_its_end_is_told_after_all() {
    let (mut engine, _) = start(&["a/m membership", "b/m membership"]);
    engine.handle(Input::TimedOut { step: id("a/m") });
    assert_eq!(strings(&engine.outcome().unwrap().adrift), ["a/m"]);
    assert_eq!(holds(&mut engine, "a/m"), ["b/m"]);
    holds(&mut engine, "b/m");
    assert!(engine.outcome().unwrap().is_complete());
}

#[test]
fn tokens_are_withdrawn_when_joins_are_over_even_if_some_failed() {
    let lines = ["a/j", "b/j", "b/k after b/j", "cp-1/join-withdrawn after a/j b/k"];
    let (mut engine, _) = start(&lines);
    assert_eq!(fails(&mut engine, "b/j"), [""; 0]);
    assert_eq!(holds(&mut engine, "a/j"), ["cp-1/join-withdrawn"]);
}

#[test]
fn tokens_stay_while_a_lost_node_may_be_joining() {
    let (mut engine, _) = start(&["a/j", "cp-1/join-withdrawn after a/j"]);
    engine.handle(Input::Lost { node: id("a/j").node });
    assert_eq!(strings(&engine.outcome().unwrap().unstarted), ["cp-1/join-withdrawn"]);
}

#[test]
fn after_a_cancel_what_runs_ends_and_nothing_starts() {
    let (mut engine, _) = start(&["a/1", "a/2"]);
    engine.handle(Input::Cancel);
    assert_eq!(engine.outcome(), None);
    assert_eq!(holds(&mut engine, "a/1"), [""; 0]);
    let outcome = engine.outcome().unwrap();
    assert!(outcome.cancelled && strings(&outcome.unstarted) == ["a/2"]);
}

#[test]
fn a_busy_node_is_awaited_with_its_place_in_the_lane() {
    let (mut engine, _) = start(&["a/1", "a/m membership", "b/1", "b/m membership after b/1"]);
    let operation = OperationId("other".to_owned());
    let busy = Input::Busy { step: id("a/1"), operation, goal: "m".into() };
    assert_eq!(ordered(&engine.handle(busy)), ["await a"]);
    assert_eq!(holds(&mut engine, "b/1"), [""; 0]);
    let orders = engine.handle(Input::Freed { node: id("a/1").node });
    assert_eq!(ordered(&orders), ["a/1", "b/m"]);
}

#[test]
fn a_run_starts_from_what_is_under_way() {
    let mut plan = plan(&["a/m membership", "b/m membership", "c/1"]);
    for (node, goal) in [("a", "m"), ("c", "other")] {
        let under_way = UnderWay {
            operation: OperationId("1".to_owned()),
            term: Term::default(),
            goal: goal.into(),
            since_ms: 0,
        };
        plan.under_way.insert(node.try_into().unwrap(), under_way);
    }
    let held =
        |node: &str, by| HeldSlot { lane: Lane::Membership, node: node.try_into().unwrap(), by };
    plan.held.push(held("a", Holder::Operation));
    let (mut engine, orders) = Engine::start(&plan);
    assert_eq!(ordered(&orders), ["attach a/m", "await c"]);
    assert_eq!(holds(&mut engine, "a/m"), ["b/m"]);

    plan.held.push(held("d", Holder::Silence));
    let (mut engine, _) = Engine::start(&plan);
    assert_eq!(holds(&mut engine, "a/m"), [""; 0]);
}

fn under_way(step: &str) -> (NodeName, UnderWay) {
    let id = id(step);
    let operation = OperationId("1".to_owned());
    (id.node, UnderWay { operation, term: Term::default(), goal: id.goal, since_ms: 0 })
}

#[test]
fn an_attempt_of_another_run_that_failed_is_followed_by_one_of_this_run_in_its_place() {
    let mut plan = plan(&["a/m membership", "b/m membership"]);
    plan.under_way.extend([under_way("b/m")]);
    let (mut engine, orders) = Engine::start(&plan);
    assert_eq!(ordered(&orders), ["attach b/m"]);
    assert_eq!(fails(&mut engine, "b/m"), ["b/m"]);
    assert_eq!(fails(&mut engine, "b/m"), [""; 0]);
    let outcome = engine.outcome().unwrap();
    assert_eq!(strings(&outcome.unstarted), ["a/m"]);
    assert_eq!(outcome.failed.first().unwrap().0, id("b/m"));
}

#[test]
fn what_another_run_offers_is_not_taken_for_the_offer_of_this_one() {
    let mut plan = plan(&["cp-1/join-offered", "b/j after cp-1/join-offered"]);
    plan.under_way.extend([under_way("cp-1/join-offered")]);
    let (mut engine, orders) = Engine::start(&plan);
    assert_eq!(ordered(&orders), ["await cp-1"]);
    let orders = engine.handle(Input::Freed { node: id("cp-1/join-offered").node });
    assert_eq!(ordered(&orders), ["cp-1/join-offered"]);
    assert_eq!(holds(&mut engine, "cp-1/join-offered"), ["b/j"]);
}

#[test]
fn attached_step_refused_after_failure_never_starts() {
    let mut plan = plan(&["a/1", "b/2 after a/1", "c/3 after b/2"]);
    plan.under_way.extend([under_way("b/2")]);
    let (mut engine, orders) = Engine::start(&plan);
    assert_eq!(ordered(&orders), ["attach b/2", "a/1"]);
    assert_eq!(fails(&mut engine, "a/1"), [""; 0]);
    let operation = OperationId("other".to_owned());
    let busy = Input::Busy { step: id("b/2"), operation, goal: "else".into() };
    assert_eq!(ordered(&engine.handle(busy)), ["await b"]);
    assert_eq!(engine.handle(Input::Freed { node: id("b/2").node }), []);
    assert_eq!(strings(&engine.outcome().unwrap().unstarted), ["b/2", "c/3"]);
}

/// Fifteen steps a node, of which one is a join in a lane of width 1, and one more for each on the
/// first node, after which the last one runs.
fn fleet(nodes: usize) -> Plan {
    let mut lines = Vec::new();
    for node in 0..nodes {
        lines.push(format!("n{node}/0"));
        for goal in 1..14 {
            let lane = if goal == 12 { " joins" } else { "" };
            lines.push(format!("n{node}/{goal}{lane} after n{node}/{}", goal - 1));
        }
        lines.push(format!("n0/ready-{node} after n{node}/13"));
    }
    let ready: Vec<String> = (0..nodes).map(|node| format!("n0/ready-{node}")).collect();
    lines.push(format!("n0/last after {}", ready.join(" ")));
    plan(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The best of three, as other programs run at the same time.
fn time_to_carry_out(plan: &Plan) -> Duration {
    let carry_out = || {
        let began = Instant::now();
        let (mut engine, orders) = Engine::start(plan);
        let mut orders = std::collections::VecDeque::from(orders);
        while let Some(order) = orders.pop_front() {
            let Dispatch::Ensure { step } = order else { panic!("nothing was under way") };
            orders.extend(engine.handle(Input::Ended { step, finding: Finding::Satisfied }));
        }
        assert!(engine.outcome().unwrap().is_complete());
        began.elapsed()
    };
    (0..3).map(|_| carry_out()).min().unwrap()
}

/// Quadratic work would take 64 times as long.
#[test]
#[expect(clippy::print_stdout, reason = "the time for 2,000 nodes is what a person asks for")]
fn engine_time_is_not_quadratic_in_steps() {
    let (small, large) = (time_to_carry_out(&fleet(250)), time_to_carry_out(&fleet(2_000)));
    println!("engine: {} steps in {} ms", 2_000 * 15 + 1, large.as_millis());
    assert!(large < small * 32, "{small:?} for 250 nodes, {large:?} for 2,000");
}
