//! The one arbiter of disruptions: what interrupts something that serves goes one node at a time, control
//! planes first, each after whatever has to come back on the others.

use std::collections::BTreeSet;

use quorate_proto::{NodeName, StepId};

use super::left::Left;
use super::machines::runs_api_server;
use super::{Blocked, Observed, Plan};

/// Whether a step changes what something on a node of the cluster runs by.
pub(super) fn is_disruptive(left: &Left, observed: &Observed) -> bool {
    let joined = |node| observed.facts(node).is_some_and(|facts| facts.kubernetes.kubelet_conf);
    joined(&left.step.id.node) && left.finding.is_in_use()
}

/// Refuses to disrupt a control plane while another one is down or out.
///
/// # Errors
/// Names the control plane that is missing.
pub(super) fn check(steps: &[Left], observed: &Observed) -> Result<(), Blocked> {
    let disrupted = steps.iter().filter(|left| is_disruptive(left, observed));
    let disrupted: BTreeSet<&NodeName> = disrupted.map(|left| &left.step.id.node).collect();
    let is_plane = |node: &NodeName| observed.facts(node).is_some_and(runs_api_server);
    let Some(node) = disrupted.into_iter().find(|node| is_plane(node)) else { return Ok(()) };
    let voters = observed.etcd().map(|(_, facts)| facts.voters());
    let down = voters
        .into_iter()
        .flatten()
        .find(|voter| !voter.healthy && voter.name != node.as_str() && !voter.name.is_empty());
    match down {
        Some(voter) => Err(Blocked::Disruption { node: node.clone(), missing: voter.name.clone() }),
        None => Ok(()),
    }
}

/// While a node of an earlier run interrupts something, no other node does: its steps come with the next look.
pub(super) fn wait_for_running(plan: &mut Plan, observed: &Observed) {
    let interrupting = plan.under_way.iter().filter(|(_, operation)| {
        operation.goal.kind().is_some_and(|kind| kind.traits().interrupts.is_some())
    });
    let nodes: BTreeSet<NodeName> = interrupting.map(|(node, _)| node.clone()).collect();
    if !nodes.is_empty() {
        plan.steps
            .retain(|left| nodes.contains(&left.step.id.node) || !is_disruptive(left, observed));
    }
}

/// Puts the disruptive steps into an order, as edges between them.
pub(super) fn order(steps: &mut [Left], observed: &Observed) {
    let mut nodes: Vec<(bool, NodeName)> = Vec::new();
    for left in steps.iter().filter(|left| is_disruptive(left, observed)) {
        let node = &left.step.id.node;
        let plane = observed.facts(node).is_some_and(runs_api_server);
        if !nodes.iter().any(|(_, known)| known == node) {
            nodes.push((!plane, node.clone()));
        }
    }
    nodes.sort_by_key(|(worker, _)| *worker);
    let first = comes_first(steps, observed);
    let mut before: Vec<StepId> = Vec::new();
    for (_, node) in nodes {
        let of_node: Vec<usize> = (0..steps.len())
            .filter(|at| {
                let left = steps.get(*at);
                left.is_some_and(|it| it.step.id.node == node && is_disruptive(it, observed))
            })
            .collect();
        let ids: Vec<StepId> =
            of_node.iter().filter_map(|at| Some(steps.get(*at)?.step.id.clone())).collect();
        for at in of_node {
            let wanted: Vec<StepId> = first.iter().chain(&before).cloned().collect();
            for id in wanted {
                // What waits for this very step cannot come before it.
                let own = steps.get(at).map(|left| left.step.id.clone());
                let waits = own.is_some_and(|own| own == id || waits_for(steps, &id, &own));
                if let Some(left) = steps.get_mut(at).filter(|_| !waits)
                    && !left.step.after.contains(&id)
                {
                    left.step.after.push(id);
                }
            }
        }
        before = ids;
    }
}

/// What later joins read, and what has to serve again before anything else stops.
fn comes_first(steps: &[Left], observed: &Observed) -> Vec<StepId> {
    let first = steps.iter().filter(|left| {
        left.step.goal.traits().before_disruptions && !is_disruptive(left, observed)
    });
    first.map(|left| left.step.id.clone()).collect()
}

/// Whether a step comes after another, directly or not.
fn waits_for(steps: &[Left], step: &StepId, other: &StepId) -> bool {
    let mut seen: BTreeSet<&StepId> = BTreeSet::new();
    let mut open = vec![step];
    while let Some(id) = open.pop() {
        let Some(left) = steps.iter().find(|left| left.step.id == *id) else { continue };
        for before in &left.step.after {
            if before == other {
                return true;
            }
            if seen.insert(before) {
                open.push(before);
            }
        }
    }
    false
}
