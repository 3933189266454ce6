//! What may run side by side does: plans carried out by a clock that only counts, with the times
//! that phases took by hand.

use std::collections::BTreeMap;

use quorate::engine::{Dispatch, Engine, Input};
use quorate::plan::Plan;
use quorate_proto::goal::{ClusterGoal, Entry, EtcdGoal, KubeadmGoal};
use quorate_proto::{Finding, Goal, StepId};
use quorate_tests::sim::{Random, Rules, SimCluster, plan, sample};

const ETCD_JOIN_MS: u64 = 3_000;
/// A look at something that is there already.
const LOOK_MS: u64 = 100;

/// Milliseconds that a step took on two slow cores.
fn took_ms(goal: &Goal) -> u64 {
    match goal {
        Goal::Etcd(EtcdGoal::EtcdMember(kube)) if kube.entry == Entry::Founder => 2_000,
        Goal::Etcd(EtcdGoal::EtcdMember(_)) => ETCD_JOIN_MS,
        Goal::Kubeadm(KubeadmGoal::ApiServerReady, _) => 4_000,
        Goal::Kubeadm(KubeadmGoal::KubeletCertificate, _) => 2_000,
        Goal::Cluster(ClusterGoal::EndpointReady(_)) => 2_000,
        _ if goal.is_awaited() => LOOK_MS,
        Goal::Host(_) | Goal::Runtime(_) | Goal::Balancer(_) => 10_000,
        Goal::Kubeadm(..) | Goal::Etcd(_) | Goal::Cluster(_) => 600,
    }
}

/// When each step of a bring-up ends, in milliseconds.
fn ends(planes: u8, workers: u8, prepared: bool) -> BTreeMap<StepId, u64> {
    let mut spec = sample(planes, workers);
    spec.worker_joins = 50;
    let mut world = SimCluster::new(spec, prepared);
    carry_out(&plan(&mut world, &mut Random::new(1), Rules::ALL, None).unwrap())
}

fn carry_out(plan: &Plan) -> BTreeMap<StepId, u64> {
    let took: BTreeMap<&StepId, u64> =
        plan.steps.iter().map(|left| (&left.step.id, took_ms(&left.step.goal))).collect();
    let (mut engine, mut orders) = Engine::start(plan);
    let (mut running, mut ended) = (Vec::new(), BTreeMap::new());
    let mut now = 0;
    loop {
        for order in orders.drain(..) {
            let Dispatch::Ensure { step } = order else { panic!("nothing was under way") };
            running.push((now + took[&step], step));
        }
        running.sort();
        if running.is_empty() {
            break;
        }
        let (end, step) = running.remove(0);
        now = end;
        ended.insert(step.clone(), now);
        orders = engine.handle(Input::Ended { step, finding: Finding::Satisfied });
    }
    assert!(engine.outcome().unwrap().is_complete());
    ended
}

fn whole(planes: u8, workers: u8, prepared: bool) -> u64 {
    ends(planes, workers, prepared).into_values().max().unwrap()
}

#[test]
fn a_further_control_plane_costs_one_join_of_etcd_and_a_look() {
    for planes in 2..7 {
        let cost = whole(planes + 1, 0, true) - whole(planes, 0, true);
        assert!(cost <= ETCD_JOIN_MS + LOOK_MS, "{planes} and one more: {cost} ms");
    }
}

#[test]
fn further_workers_cost_no_time() {
    assert_eq!(whole(3, 8, true), whole(3, 1, true));
}

#[test]
fn workers_join_while_control_planes_do() {
    let ends = ends(5, 2, true);
    let at = |step: &str| *ends.iter().find(|(id, _)| id.to_string() == step).unwrap().1;
    assert!(at("worker-2/kubelet-certificate") < at("cp-3/etcd-member"));
}

#[test]
fn machines_are_prepared_side_by_side() {
    assert!(whole(7, 8, false) - whole(1, 0, false) < whole(7, 8, true) - whole(1, 0, true) + 1);
}
