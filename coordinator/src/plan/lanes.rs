//! Places in lanes that are taken before the first order is sent.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::{NodeName, UnderWay};

use super::left::{HeldSlot, Holder, Warning};
use super::membership::has_joined;
use super::{Lane, Observed, Outline, Sight, Step};

/// A silent node holds a place in every lane that it has a step in, and so does an operation under
/// way. The place is free only where another node's word shows that the join is over, or that there
/// is nothing to join yet.
pub(super) fn held_slots(
    outline: &Outline,
    observed: &Observed,
    under_way: &BTreeMap<NodeName, UnderWay>,
) -> Vec<HeldSlot> {
    // Until a member of etcd has data, no run can have sent an order to join.
    let founded = observed.nodes.values().any(|sight| match sight {
        Sight::Seen { facts, .. } => facts.kubernetes.etcd_data || facts.etcd.is_some(),
        Sight::Silent { .. } => false,
    });
    let mut held: Vec<HeldSlot> = Vec::new();
    for step in outline.steps.iter().filter(|step| step.lane != Lane::Free) {
        let node = &step.id.node;
        let by = if observed.silence(node).is_some() {
            if !founded || is_over(step, observed) {
                continue;
            }
            Holder::Silence
        } else if under_way.get(node).is_some_and(|operation| operation.goal == step.id.goal) {
            Holder::Operation
        } else {
            continue;
        };
        let slot = HeldSlot { lane: step.lane.clone(), node: node.clone(), by };
        if !held.contains(&slot) {
            held.push(slot);
        }
    }
    held
}

fn is_over(step: &Step, observed: &Observed) -> bool {
    let node = &step.id.node;
    match step.lane {
        Lane::Free => true,
        Lane::Membership => has_joined(node, observed),
        Lane::WorkerJoins { .. } => observed.is_ready(node),
    }
}

/// Lanes in which steps are left, and every place is taken by a silent node.
pub(super) fn full_of_silence(held: &[HeldSlot], left: &[&Step]) -> Vec<Warning> {
    let lanes: BTreeSet<&Lane> = left.iter().map(|step| &step.lane).collect();
    let silent = |lane: &Lane| {
        let held = held.iter().filter(|slot| slot.by == Holder::Silence && slot.lane == *lane);
        held.map(|slot| slot.node.clone()).collect::<Vec<_>>()
    };
    let warning = |lane: &Lane| match lane {
        Lane::Free => None,
        Lane::Membership => {
            silent(lane).into_iter().next().map(|node| Warning::MembershipHeld { node })
        }
        Lane::WorkerJoins { width } => Some(silent(lane))
            .filter(|nodes| nodes.len() >= *width)
            .map(|nodes| Warning::WorkerJoinsHeld { nodes }),
    };
    lanes.into_iter().filter_map(warning).collect()
}
