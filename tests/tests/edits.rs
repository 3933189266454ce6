//! Edits of cluster.yaml and repairs on a cluster that is up: what is refused before any node is asked
//! for a change, and what a repair needs.

use quorate::plan::{Blocked, Findings, Observed, Plan, pending};
use quorate::procedure::Procedure;
use quorate_proto::{Drift, Finding, StepId};
use quorate_tests::sim::{SimCluster, name};

use crate::plan::{facts_mut, risen};

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

#[test]
fn changed_setting_of_a_joined_node_is_blocked() {
    let (world, mut observed) = risen(3, 2);
    let drift = Drift::new("maxPods", "110", "50").in_use();
    let changed = [("worker-1", "kubelet-started", drift.clone())];
    let blocked = planned(&world, &observed, &changed).unwrap_err();
    assert_eq!(blocked, Blocked::InUse(vec![(name("worker-1"), drift)]));

    facts_mut(&mut observed, "worker-1").kubernetes.kubelet_conf = false;
    assert!(planned(&world, &observed, &changed).is_ok(), "it is no part of the cluster yet");
}
