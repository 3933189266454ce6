//! The simulated agents: they take orders, work, answer, and fall silent. And what must never
//! happen is looked for.

use quorate::plan::Lane;
use quorate_proto::{Finding, Goal, NodeName, OperationId, StepId, Term};

use super::cluster::{Fate, Operation, SimCluster, SimNode};
use super::random::Random;

/// An order on its way to a node.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub step: StepId,
    pub operation: OperationId,
    pub term: Term,
    pub goal: Goal,
}

/// An answer on its way to the run that gave the order.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub to: Term,
    pub step: StepId,
    pub told: Told,
}

/// What an agent tells.
#[derive(Debug, Clone)]
pub(super) enum Told {
    Ended { finding: Finding, claims_success: bool },
    Busy { operation: OperationId, goal: String },
}

impl SimCluster {
    /// One thing happens, if anything can: an order arrives, an operation moves, a node falls
    /// silent. Answers are left to whoever listens.
    pub(super) fn happen(&mut self, random: &mut Random, terms: bool) -> bool {
        let arriving: Vec<usize> = (0..self.orders.len())
            .filter(|at| self.orders.get(*at).is_some_and(|it| !self.is_silent(&it.step.node)))
            .collect();
        let at_work = |node: &&SimNode| node.operation.is_some();
        let working = self.nodes.values().filter(at_work).count();
        if self.faults && random.percent(3) {
            self.disturb(random);
            return true;
        }
        let choices = arriving.len() + working;
        if choices == 0 {
            return false;
        }
        let choice = random.below(choices);
        if let Some(at) = arriving.get(choice) {
            let order = self.orders.remove(*at);
            self.take(order, random, terms);
        } else {
            let mut working = self.nodes.iter().filter(|(_, node)| at_work(node));
            let node = working.nth(choice - arriving.len()).map(|(name, _)| name.clone());
            node.into_iter().for_each(|node| self.work(&node));
        }
        true
    }

    fn disturb(&mut self, random: &mut Random) {
        let at = random.below(self.nodes.len());
        if let Some(node) = self.nodes.values_mut().nth(at) {
            if random.percent(20) {
                // The machine restarts: what it was at ends unfinished, and nobody is told.
                node.operation = None;
                return;
            }
            // A silent node is the rarer state, and does not stay silent for ever.
            node.silent = !node.silent && random.percent(50);
        }
    }

    fn take(&mut self, order: Order, random: &mut Random, terms: bool) {
        let node = self.node(&order.step.node);
        let obeyed = order.term.obeyed_after(&node.term);
        if terms && !obeyed {
            return;
        }
        if let Some(operation) = &node.operation {
            let told = Told::Busy { operation: operation.id.clone(), goal: operation.goal.id() };
            let attaches = operation.id == order.operation;
            let name = order.step.node.clone();
            if attaches {
                if let Some(operation) = &mut self.node_mut(&name).operation {
                    operation.listener = order.term.clone();
                }
                self.node_mut(&name).term = order.term;
            } else {
                self.answers.push(Answer { to: order.term, step: order.step, told });
            }
            return;
        }
        if !obeyed {
            self.violations.push(format!("{} began for an older term", order.step));
        }
        let fate = if self.breaks.remove(&order.step) {
            Fate::Breaks
        } else if self.faults {
            fate(random)
        } else {
            Fate::Works
        };
        let slow = self.faults && random.percent(10);
        let left = if slow { 60 } else { 2 + random.below(3) };
        let node = self.node_mut(&order.step.node);
        node.term = order.term.clone();
        node.operation = Some(Operation {
            id: order.operation,
            listener: order.term.clone(),
            term: order.term,
            goal: order.goal,
            left,
            fate,
        });
        self.watch();
    }

    /// The operation of a node goes on by one event.
    fn work(&mut self, name: &NodeName) {
        let Some(mut operation) = self.node_mut(name).operation.take() else { return };
        operation.left = operation.left.saturating_sub(1);
        let takes_effect = operation.fate != Fate::ClaimsToWork;
        if operation.left == 1 && takes_effect {
            self.begin_effect(name, &operation.goal);
        }
        if operation.left > 0 {
            self.node_mut(name).operation = Some(operation);
            return;
        }
        if takes_effect && operation.fate != Fate::Breaks {
            self.finish_effect(name, &operation.goal);
        }
        let told = Told::Ended {
            finding: self.check(name, &operation.goal),
            claims_success: matches!(operation.fate, Fate::Works | Fate::ClaimsToWork),
        };
        let step = StepId { node: name.clone(), goal: operation.goal.id() };
        self.answers.push(Answer { to: operation.listener, step, told });
    }

    /// Looks for what must never be, whenever an operation begins.
    fn watch(&mut self) {
        let at = |lane: &Lane| {
            self.nodes
                .iter()
                .filter(|(name, node)| {
                    node.operation.as_ref().is_some_and(|operation| match (&operation.goal, lane) {
                        (Goal::EtcdMember(_), Lane::Membership) => !self.is_voter(name),
                        (
                            Goal::KubeletStarted(kube) | Goal::KubeletCertificate(kube),
                            Lane::WorkerJoins { .. },
                        ) => !kube.is_control_plane(),
                        _ => false,
                    })
                })
                .count()
        };
        let width = self.spec.worker_joins;
        let (members, workers) = (at(&Lane::Membership), at(&Lane::WorkerJoins { width }));
        if members > 1 {
            self.violations.push(format!("{members} changes of etcd's membership at once"));
        }
        if workers > width {
            self.violations.push(format!("{workers} workers join at once"));
        }
    }
}

fn fate(random: &mut Random) -> Fate {
    match random.below(100) {
        0..3 => Fate::WorksAndComplains,
        3..5 => Fate::ClaimsToWork,
        5..8 => Fate::Breaks,
        _ => Fate::Works,
    }
}
