//! A node is cordoned and uncordoned.

use quorate_proto::goal::Scheduling;

use super::*;

/// What the founder does to keep new pods off cp-1, and to let them come again.
pub(super) fn cordoning() -> Vec<Goal> {
    [true, false].map(|unschedulable| scheduling("cp-1", unschedulable)).to_vec()
}

fn scheduling(node: &str, unschedulable: bool) -> Goal {
    let node = sample::name(node);
    Goal::Cluster(ClusterGoal::NodeScheduling(Scheduling { node, unschedulable }))
}

#[tokio::test]
async fn cordon_cut_off_after_any_change_completes() {
    let before = &founding()[..13];
    goes_on(before, &cordoning()[0], None).await;
    let cordoned: Vec<Goal> = before.iter().cloned().chain([cordoning().remove(0)]).collect();
    goes_on(&cordoned, &cordoning()[1], None).await;
}

#[tokio::test]
async fn cordon_sets_the_field_and_uncordon_clears_it() {
    let host = founded().await;
    assert_holds(&scheduling("cp-1", false), &host).await;
    for goal in cordoning() {
        let before = host.changes();
        bring_up(&[goal.clone(), goal], &host, &sample::material()).await;
        assert_eq!(host.changes(), before + 1, "{:?}", host.history());
    }
}

#[tokio::test]
async fn cordon_of_an_unknown_node_names_those_there_are() {
    let host = founded().await;
    let finding = check(&scheduling("worker-9", true), &host).await;
    let why = "the cluster has no node worker-9; it has cp-1".to_owned();
    assert_eq!(finding, Finding::Refused { why });
}
