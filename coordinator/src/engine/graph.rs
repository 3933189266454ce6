//! What a plan says of its steps, by their places in it. Nothing here changes while it is carried
//! out, so copies of an engine share it.

use std::collections::BTreeMap;

use quorate_proto::{NodeName, StepId};

use crate::plan::{Lane, Plan};

/// The steps of a plan, and which wait for which.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) steps: Vec<Vertex>,
    pub(super) places: BTreeMap<StepId, usize>,
    pub(super) nodes: BTreeMap<NodeName, usize>,
    pub(super) lanes: Vec<Lane>,
}

/// A step.
#[derive(Debug)]
pub(super) struct Vertex {
    pub(super) id: StepId,
    pub(super) node: usize,
    pub(super) lane: usize,
    /// Steps of this plan that come first.
    pub(super) after: Vec<usize>,
    /// Steps that wait for this one.
    next: Vec<usize>,
    pub(super) clears: bool,
    /// Of no use to a run that did not order it.
    pub(super) of_one_run: bool,
}

impl Graph {
    pub(super) fn of(plan: &Plan) -> Self {
        let ids = plan.steps.iter().map(|left| left.step.id.clone());
        let mut graph = Self {
            steps: Vec::with_capacity(plan.steps.len()),
            places: ids.zip(0..).collect(),
            nodes: BTreeMap::new(),
            lanes: Vec::new(),
        };
        for step in plan.steps.iter().map(|left| &left.step) {
            let after = step.after.iter().filter_map(|id| graph.places.get(id).copied());
            let vertex = Vertex {
                id: step.id.clone(),
                after: after.collect(),
                node: graph.add_node(&step.id.node),
                lane: graph.add_lane(&step.lane),
                next: Vec::new(),
                clears: step.clears(),
                of_one_run: step.goal.is_of_one_run(),
            };
            graph.steps.push(vertex);
        }
        for at in 0..graph.steps.len() {
            for before in graph.step(at).map(|step| step.after.clone()).into_iter().flatten() {
                graph.steps.get_mut(before).into_iter().for_each(|step| step.next.push(at));
            }
        }
        for node in plan.under_way.keys().chain(plan.held.iter().map(|slot| &slot.node)) {
            graph.add_node(node);
        }
        for slot in &plan.held {
            graph.add_lane(&slot.lane);
        }
        graph
    }

    pub(super) fn step(&self, at: usize) -> Option<&Vertex> {
        self.steps.get(at)
    }

    pub(super) fn node(&self, node: &NodeName) -> Option<usize> {
        self.nodes.get(node).copied()
    }

    pub(super) fn lane(&self, lane: &Lane) -> Option<usize> {
        self.lanes.iter().position(|known| known == lane)
    }

    /// Steps that wait for this one.
    pub(super) fn next(&self, at: usize) -> &[usize] {
        self.steps.get(at).map_or(&[], |step| &step.next)
    }

    /// All steps of a lane.
    pub(super) fn in_lane(&self, lane: usize) -> impl Iterator<Item = usize> {
        (0..).zip(&self.steps).filter(move |(_, step)| step.lane == lane).map(|(at, _)| at)
    }

    fn add_node(&mut self, node: &NodeName) -> usize {
        let next = self.nodes.len();
        // Most are known: a name is copied for those alone that are not.
        match self.nodes.get(node) {
            Some(at) => *at,
            None => *self.nodes.entry(node.clone()).or_insert(next),
        }
    }

    fn add_lane(&mut self, lane: &Lane) -> usize {
        self.lane(lane).unwrap_or_else(|| {
            self.lanes.push(lane.clone());
            self.lanes.len() - 1
        })
    }
}
