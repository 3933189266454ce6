//! Edits of cluster.yaml and repairs on a cluster that is up: what is refused before any node is asked
//! for a change, and what a repair needs.

use quorate::plan::{Blocked, Findings, Observed, Plan, pending};
use quorate::procedure::Procedure;
use quorate_proto::{Drift, Finding, OperationId, StepId, Term, UnderWay};
use quorate_tests::sim::{SimCluster, name};

use crate::plan::{each_view, facts_mut, member_mut, risen};

fn id(node: &str, goal: &str) -> StepId {
    StepId { node: name(node), goal: goal.into() }
}

/// The plan where these goals alone are found to differ.
fn planned(
    world: &SimCluster,
    observed: &Observed,
    drifts: &[(&str, &str, Drift)],
) -> Result<Plan, Blocked> {
    let outline = Procedure::BringUp.outline(&world.spec, observed).unwrap();
    let mut findings: Findings =
        outline.steps.iter().map(|step| (step.id.clone(), Finding::Satisfied)).collect();
    for (node, goal, drift) in drifts {
        let known = findings.insert(id(node, goal), Finding::Drifted(vec![drift.clone()]));
        assert!(known.is_some(), "no step {node}/{goal}");
    }
    pending(&outline, &findings, observed)
}

fn missing(what: &str) -> Drift {
    Drift::new(what, "missing", "there")
}

fn goals(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|left| left.step.id.to_string()).collect()
}

#[test]
fn changed_version_is_blocked_before_any_check() {
    let (mut world, observed) = risen(3, 2);
    world.spec.version.minor += 1;
    let blocked = Procedure::BringUp.outline(&world.spec, &observed).unwrap_err();
    let Blocked::Edited(edits) = blocked else { panic!("{blocked}") };
    let fields: Vec<_> = edits.iter().map(|edit| (edit.field, edit.nodes.len())).collect();
    assert_eq!(fields, [("spec.kubernetes.version", 3)]);
}

#[test]
fn repair_of_static_pods_needs_no_token() {
    let (world, observed) = risen(3, 2);
    let plan = planned(&world, &observed, &[("cp-2", "static-pods", missing("scheduler"))]);
    assert_eq!(goals(&plan.unwrap()), ["cp-2/static-pods"]);
}

#[test]
fn token_is_deleted_after_every_step_that_uses_it() {
    let (world, observed) = risen(3, 2);
    for (node, goal) in [
        ("cp-2", "certificates"),
        ("cp-3", "kubelet-certificate"),
        ("cp-2", "etcd-member"),
        ("worker-1", "kubelet-started"),
    ] {
        let plan = planned(&world, &observed, &[(node, goal, missing("it"))]).unwrap();
        let withdrawn = plan.steps.iter().find(|left| left.step.id == id("cp-1", "join-withdrawn"));
        let after = &withdrawn.unwrap().step.after;
        assert!(after.contains(&id(node, goal)), "{node}/{goal}: {after:?}");
        let user = plan.steps.iter().find(|left| left.step.id == id(node, goal)).unwrap();
        assert!(user.step.after.contains(&id("cp-1", "join-offered")), "{node}/{goal}");
    }
}

/// Where in the plan's order steps may run: each with those that it comes after, directly or not.
fn comes_after(plan: &Plan, step: &StepId, other: &StepId) -> bool {
    let left = plan.steps.iter().find(|left| left.step.id == *step).unwrap();
    left.step.after.iter().any(|before| before == other || comes_after(plan, before, other))
}

fn changed() -> Drift {
    Drift::new("--v", "not set", "4").in_use()
}

#[test]
fn settings_roll_one_node_at_a_time_control_planes_first() {
    let (world, observed) = risen(3, 2);
    let drifts: Vec<_> =
        [("cp-1", "static-pods"), ("cp-2", "static-pods"), ("cp-3", "etcd-member")]
            .into_iter()
            .chain([("worker-1", "kubelet-started"), ("cp-1", "kubelet-started")])
            .map(|(node, goal)| (node, goal, changed()))
            .collect();
    let plan = planned(&world, &observed, &drifts).unwrap();
    let order = [
        ("cp-1", "kubelet-started"),
        ("cp-1", "static-pods"),
        ("cp-2", "static-pods"),
        ("cp-3", "etcd-member"),
        ("worker-1", "kubelet-started"),
    ];
    for pair in order.windows(2) {
        let [before, after] = [pair[0], pair[1]].map(|(node, goal)| id(node, goal));
        assert!(comes_after(&plan, &after, &before), "{after} beside {before}");
    }
}

#[test]
fn stored_configuration_comes_before_the_first_restart() {
    let (world, observed) = risen(3, 0);
    let drifts = [
        ("cp-1", "static-pods", changed()),
        ("cp-1", "cluster-config", Drift::new("extraArgs", "other", "as specified")),
    ];
    let plan = planned(&world, &observed, &drifts).unwrap();
    assert!(comes_after(&plan, &id("cp-1", "static-pods"), &id("cp-1", "cluster-config")));
}

#[test]
fn disruption_waits_for_an_api_server_that_is_away() {
    let (world, observed) = risen(3, 0);
    let drifts = [
        ("cp-1", "static-pods", changed()),
        ("cp-3", "api-server-ready", Drift::new("the API server", "silent", "ready")),
    ];
    let plan = planned(&world, &observed, &drifts).unwrap();
    assert!(comes_after(&plan, &id("cp-1", "static-pods"), &id("cp-3", "api-server-ready")));
}

#[test]
fn disruption_beside_an_unhealthy_voter_is_blocked() {
    let (world, mut observed) = risen(3, 0);
    each_view(&mut observed, |etcd| member_mut(etcd, "cp-3").healthy = false);
    let blocked = planned(&world, &observed, &[("cp-1", "static-pods", changed())]).unwrap_err();
    let expected = Blocked::Disruption { node: name("cp-1"), missing: "cp-3".to_owned() };
    assert_eq!(blocked, expected);
}

#[test]
fn disruption_waits_while_another_node_is_interrupted() {
    let (world, mut observed) = risen(3, 0);
    facts_mut(&mut observed, "cp-2").under_way = Some(UnderWay {
        operation: OperationId("1".to_owned()),
        term: Term::default(),
        goal: "static-pods".into(),
        since_ms: 0,
    });
    let plan = planned(&world, &observed, &[("cp-1", "static-pods", changed())]).unwrap();
    assert_eq!(goals(&plan), [""; 0]);
    assert!(!plan.is_complete(), "it is planned once that is over");
}

#[test]
fn package_of_a_joined_node_is_not_replaced() {
    let (world, mut observed) = risen(3, 2);
    let drift = Drift::new("package kubelet", "1.35.4-1.1", "1.35.4-1.2").in_use();
    let changed = [("worker-1", "packages", drift.clone())];
    let blocked = planned(&world, &observed, &changed).unwrap_err();
    assert_eq!(blocked, Blocked::InUse(vec![(name("worker-1"), drift)]));

    facts_mut(&mut observed, "worker-1").kubernetes.kubelet_conf = false;
    assert!(planned(&world, &observed, &changed).is_ok(), "it is no part of the cluster yet");
}
