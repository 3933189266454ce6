//! Steps that wait for nothing but their node and a place in their lane.

use std::collections::BTreeSet;

use super::graph::{Graph, Vertex};
use crate::plan::Lane;

/// What is ready, which nodes are free, and how full the lanes are.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    nodes: Vec<Node>,
    lanes: Vec<Places>,
    awaited: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    availability: Availability,
    /// The step that was begun last.
    begun: Option<usize>,
    /// Lanes in which it has a place that is not a step's of this run.
    held: Vec<usize>,
    /// Its ready steps, by lane.
    steps: BTreeSet<(usize, usize)>,
}

/// Whether a node can take an order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Availability {
    #[default]
    Free,
    /// At a step of this plan.
    Busy,
    /// At something else, which the driver awaits.
    Awaited,
    /// Does not answer.
    Lost,
}

#[derive(Debug, Clone)]
struct Places {
    width: usize,
    taken: usize,
    /// Of each free node the first step that is ready in this lane.
    heads: BTreeSet<usize>,
}

impl Node {
    fn head(&self, lane: usize) -> Option<usize> {
        self.steps.range((lane, 0)..=(lane, usize::MAX)).next().map(|(_, at)| *at)
    }
}

impl Ready {
    pub(super) fn of(graph: &Graph) -> Self {
        let width = |lane: &Lane| match lane {
            Lane::Free => usize::MAX,
            Lane::Membership => 1,
            Lane::WorkerJoins { width } => (*width).max(1),
        };
        let places = |lane| Places { width: width(lane), taken: 0, heads: BTreeSet::new() };
        Self {
            nodes: vec![Node::default(); graph.nodes.len()],
            lanes: graph.lanes.iter().map(places).collect(),
            awaited: 0,
        }
    }

    /// The first step that can start now.
    pub(super) fn first(&self) -> Option<usize> {
        let open = self.lanes.iter().filter(|lane| lane.taken < lane.width);
        open.filter_map(|lane| lane.heads.first().copied()).min()
    }

    /// A step waits for nothing but its node and its lane.
    pub(super) fn add(&mut self, step: &Vertex, at: usize) {
        let (Some(node), Some(lane)) =
            (self.nodes.get_mut(step.node), self.lanes.get_mut(step.lane))
        else {
            return;
        };
        let before = node.head(step.lane);
        node.steps.insert((step.lane, at));
        if node.availability == Availability::Free && before.is_none_or(|before| at < before) {
            before.map(|before| lane.heads.remove(&before));
            lane.heads.insert(at);
        }
    }

    /// The step takes its node and its place.
    pub(super) fn begin(&mut self, step: &Vertex, at: usize) {
        self.mark(step.node, Availability::Busy);
        if let Some(node) = self.nodes.get_mut(step.node) {
            node.begun = Some(at);
            node.steps.remove(&(step.lane, at));
        }
        self.count(step.lane, 1);
    }

    /// The step gives its place back.
    pub(super) fn end(&mut self, step: &Vertex) {
        self.count(step.lane, -1);
    }

    pub(super) fn mark(&mut self, at: usize, availability: Availability) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let before = std::mem::replace(&mut node.availability, availability);
        self.awaited -= usize::from(before == Availability::Awaited);
        self.awaited += usize::from(availability == Availability::Awaited);
        let free = |availability| availability == Availability::Free;
        for (number, lane) in (0..).zip(&mut self.lanes) {
            match (node.head(number), free(before), free(availability)) {
                (Some(head), false, true) => drop(lane.heads.insert(head)),
                (Some(head), true, false) => drop(lane.heads.remove(&head)),
                (Some(_), true, true) | (Some(_), false, false) | (None, _, _) => {}
            }
        }
    }

    pub(super) fn is(&self, node: usize, availability: Availability) -> bool {
        self.nodes.get(node).is_some_and(|node| node.availability == availability)
    }

    /// Whether a node is at something that the driver awaits.
    pub(super) fn awaits(&self) -> bool {
        self.awaited > 0
    }

    /// The step that the node began last.
    pub(super) fn begun(&self, node: usize) -> Option<usize> {
        self.nodes.get(node)?.begun
    }

    /// The node has a place in the lane that is not a step's of this run.
    pub(super) fn hold(&mut self, node: usize, lane: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.held.push(lane);
            self.count(lane, 1);
        }
    }

    /// It gives such places back.
    pub(super) fn release(&mut self, node: usize) {
        let held = self.nodes.get_mut(node).map(|node| std::mem::take(&mut node.held));
        for lane in held.into_iter().flatten() {
            self.count(lane, -1);
        }
    }

    /// No step of the lane starts any more.
    pub(super) fn close(&mut self, lane: usize) {
        self.lanes.get_mut(lane).into_iter().for_each(|lane| lane.width = 0);
    }

    pub(super) fn is_closed(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.width == 0)
    }

    fn count(&mut self, lane: usize, more: isize) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.taken = lane.taken.saturating_add_signed(more);
        }
    }
}
