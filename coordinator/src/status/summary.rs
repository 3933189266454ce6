//! The cluster in one line.

use std::collections::BTreeMap;

use quorate_proto::NodeName;

use super::names;
use super::node::{NodeStatus, Stage};
use crate::spec::Role;

/// What stands, what is on its way, what is missing, what runs.
pub(super) fn of(nodes: &[NodeStatus]) -> String {
    let mut parts = Vec::new();
    let planes = nodes.iter().filter(|node| node.is(Role::ControlPlane));
    let all = planes.clone().count();
    let founded = planes.clone().any(|node| node.stage >= Stage::MemberUnstarted);
    if founded {
        let serve = planes.filter(|node| node.stage == Stage::Serves).count();
        parts.push(match (serve, all) {
            (1, 1) => "the control plane serves".to_owned(),
            _ if serve == all => format!("all {all} control planes serve"),
            _ => format!("{serve} of {all} control planes serve"),
        });
    } else {
        let unseen = planes.clone().any(|node| node.silent.is_some());
        parts.push(if unseen { "no cluster was seen" } else { "no cluster yet" }.to_owned());
    }
    for (stage, one, many) in GROUPS {
        let of_group = |node: &&NodeStatus| node.stage == *stage;
        let group: Vec<&NodeName> = nodes.iter().filter(of_group).map(|node| &node.node).collect();
        match group.len() {
            0 => {}
            1 => parts.push(format!("{} {one}", names(group))),
            _ => parts.push(format!("{} {many}", names(group))),
        }
    }
    let lagging = nodes.iter().filter(|node| {
        node.ready == Some(false) && matches!(node.stage, Stage::Joined | Stage::Serves)
    });
    let lagging: Vec<&NodeName> = lagging.map(|node| &node.node).collect();
    match lagging.len() {
        0 => {}
        1 => parts.push(format!("{} is not Ready", names(lagging))),
        _ => parts.push(format!("{} are not Ready", names(lagging))),
    }
    let workers = nodes.iter().filter(|node| node.is(Role::Worker));
    let joined = workers.clone().filter(|node| node.stage == Stage::Joined).count();
    match (joined, workers.count()) {
        (0, _) => {}
        (1, 1) => parts.push("the worker has joined".to_owned()),
        (1, all) => parts.push(format!("1 of {all} workers has joined")),
        (joined, all) if joined == all => parts.push(format!("all {all} workers have joined")),
        (joined, all) => parts.push(format!("{joined} of {all} workers have joined")),
    }
    parts.extend(running(nodes));
    parts.join("; ")
}

/// Nodes that are not where they should be, furthest first.
const GROUPS: &[(Stage, &str, &str)] = &[
    (Stage::NoApiServer, "lacks its API server's pod", "lack their API servers' pods"),
    (
        Stage::MemberRemoved,
        "has data of an etcd member that was removed",
        "have data of etcd members that were removed",
    ),
    (Stage::MemberDown, "has an etcd member that is down", "have etcd members that are down"),
    (Stage::Learner, "is in etcd as a learner", "are in etcd as learners"),
    (
        Stage::MemberUnstarted,
        "has an etcd member that never started",
        "have etcd members that never started",
    ),
    (
        Stage::PodsInPlace,
        "has its pods in place and is not in etcd yet",
        "have their pods in place and are not in etcd yet",
    ),
    (Stage::Joining, "is joining", "are joining"),
    (Stage::Configured, "has its kubeconfigs", "have their kubeconfigs"),
    (Stage::Certified, "has its certificates", "have their certificates"),
    (Stage::Installed, "has its packages only", "have their packages only"),
    (Stage::Bare, "is bare", "are bare"),
    (Stage::Silent, "does not answer", "do not answer"),
];

fn running(nodes: &[NodeStatus]) -> Vec<String> {
    let mut at_work: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for node in nodes {
        if let Some(under_way) = &node.under_way {
            at_work.entry(&under_way.doing).or_default().push(&node.node);
        }
    }
    if at_work.is_empty() {
        let unseen = nodes.iter().any(|node| node.silent.is_some());
        let where_seen = if unseen { " where there is an answer" } else { "" };
        return vec![format!("nothing runs{where_seen}")];
    }
    let groups = at_work.into_iter().map(|(doing, nodes)| {
        let verb = if nodes.len() == 1 { "is" } else { "are" };
        format!("{} {verb} {doing} now", names(nodes))
    });
    groups.collect()
}
