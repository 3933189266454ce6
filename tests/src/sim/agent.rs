//! The simulated agents: they take orders, work, answer, and remember.

use quorate_proto::goal::{EtcdGoal, KubeadmGoal};
use quorate_proto::{Goal, NodeName};

use super::etcd::Obstacle;
use super::network::{Answer, Order, Told};
use super::node::{Fate, Operation, SimNode};
use super::random::Random;
use super::world::SimCluster;

impl SimCluster {
    /// One thing happens at the nodes, if anything can: an order arrives or an operation moves.
    /// Answers are left to whoever listens.
    pub(super) fn happen(&mut self, random: &mut Random) -> bool {
        self.etcd.electing = self.etcd.electing.saturating_sub(1);
        let orders = self.network.orders.iter().enumerate();
        let arrives =
            |(at, order): (usize, &Order)| (!self.is_silent(&order.step.node)).then_some(at);
        let arriving: Vec<usize> = orders.filter_map(arrives).collect();
        let busy = |node: &SimNode| node.operation.is_some() || node.stray.is_some();
        let working: Vec<&NodeName> =
            self.nodes.iter().filter(|(_, node)| busy(node)).map(|(name, _)| name).collect();
        if arriving.is_empty() && working.is_empty() {
            return false;
        }
        let choice = random.below(arriving.len() + working.len());
        if let Some(at) = arriving.get(choice) {
            // Now and then the network delivers a message once more, much later.
            let order = if self.faults && random.percent(2) {
                self.network.orders.get(*at).cloned()
            } else {
                Some(self.network.orders.remove(*at))
            };
            order.into_iter().for_each(|order| self.take(order, random));
        } else if let Some(node) = working.get(choice - arriving.len()) {
            let node = (*node).clone();
            self.work(&node);
        }
        self.inspect();
        true
    }

    /// An order has arrived at its node.
    fn take(&mut self, order: Order, random: &mut Random) {
        if let Some(told) = self.take_or_tell(&order, random) {
            let Order { from: to, call, operation, .. } = order;
            self.network.answers.push(Answer { to, call, operation, told });
        }
    }

    /// Begins the operation, attaches to it, or says at once what the answer is.
    fn take_or_tell(&mut self, order: &Order, random: &mut Random) -> Option<Told> {
        let terms = self.rules.terms;
        let fate = self.fate(order, random);
        let name = &order.step.node;
        let node = self.node_mut(name);
        let obeyed = order.term.obeyed_after(&node.term);
        if terms && !obeyed {
            return Some(Told::Superseded);
        }
        if node.disk_full && (node.operation.is_none() || node.term != order.term) {
            return Some(Told::Refused);
        }
        if obeyed {
            node.term = order.term.clone();
        }
        if let Some(at) = &mut node.operation {
            if at.id == order.operation {
                at.listeners.push((order.from.clone(), order.call));
                return None;
            }
            return Some(Told::Busy { operation: at.id.clone(), goal: at.goal.id() });
        }
        if let Some((_, told)) = node.latest.as_ref().filter(|it| it.0 == order.operation) {
            return Some(told.clone());
        }
        // Joins are what takes long, and what must not run side by side.
        let joins = matches!(
            &*order.goal,
            Goal::Etcd(EtcdGoal::EtcdMember(_)) | Goal::Kubeadm(KubeadmGoal::KubeletCertificate, _)
        );
        let slow = self.weather.slow * if joins { 4 } else { 1 };
        let left = if !self.faults || !random.percent(slow) {
            3 + random.below(4)
        } else if random.percent(self.weather.hang) {
            HANGS
        } else {
            12 + random.below(30)
        };
        let operation = Operation {
            id: order.operation.clone(),
            term: order.term.clone(),
            goal: order.goal.clone(),
            material: order.material.clone(),
            fresh: true,
            left,
            patience: 20,
            fate,
            listeners: vec![(order.from.clone(), order.call)],
        };
        let node = self.node_mut(name);
        (node.operation, node.latest) = (Some(operation), None);
        if !obeyed {
            self.violations.push(format!("{} began for an older term", order.step));
        }
        None
    }

    fn fate(&mut self, order: &Order, random: &mut Random) -> Fate {
        if self.breaks.remove(&order.step) {
            return Fate::Breaks;
        }
        if !self.faults || !random.percent(self.weather.wrong) {
            return Fate::Works;
        }
        match random.below(10) {
            0..3 => Fate::WorksAndComplains,
            3..5 => Fate::ClaimsToWork,
            5..8 => Fate::Breaks,
            _ => Fate::Stumbles,
        }
    }

    /// The operation of a node goes on by one event.
    fn work(&mut self, name: &NodeName) {
        let node = self.node_mut(name);
        let stray = node.stray.is_some();
        let Some(mut operation) = node.stray.take().or_else(|| node.operation.take()) else {
            return;
        };
        if self.moves(name, &mut operation) {
            let node = self.node_mut(name);
            *(if stray { &mut node.stray } else { &mut node.operation }) = Some(operation);
        } else if !stray {
            self.conclude(name, operation);
        }
    }

    /// Whether the operation goes on after this event.
    fn moves(&mut self, name: &NodeName, operation: &mut Operation) -> bool {
        let goal = operation.goal.clone();
        if std::mem::take(&mut operation.fresh) {
            let holds = self.check(name, &goal).is_satisfied();
            operation.patience =
                if holds && !goal.is_of_one_run() { 0 } else { operation.patience };
            return operation.patience > 0;
        }
        if goal.is_awaited() {
            operation.patience = operation.patience.saturating_sub(1);
            return operation.patience > 0 && !self.check(name, &goal).is_satisfied();
        }
        operation.left = operation.left.saturating_sub(1);
        let half = operation.fate == Fate::Breaks && operation.left == 0;
        let idle = matches!(operation.fate, Fate::ClaimsToWork | Fate::Stumbles);
        if !half && !idle {
            match self.take_effect(name, operation) {
                Ok(()) => {}
                Err(Obstacle::NotYet) if operation.patience > 0 => {
                    operation.patience -= 1;
                    operation.left += 1;
                }
                Err(Obstacle::NotYet | Obstacle::Refused) => {
                    operation.fate = Fate::Breaks;
                    return false;
                }
            }
        }
        operation.left > 0
    }

    /// The agent checks the goal, clears its ledger, and tells whoever listens.
    pub(super) fn conclude(&mut self, name: &NodeName, operation: Operation) {
        let finding = self.check(name, &operation.goal);
        let fails = !matches!(operation.fate, Fate::Works | Fate::ClaimsToWork);
        let told = Told::Ended {
            transient: fails && operation.fate == Fate::Stumbles || operation.patience == 0,
            claims_success: !fails,
            finding,
        };
        for (to, call) in operation.listeners {
            let (operation, told) = (operation.id.clone(), told.clone());
            self.network.answers.push(Answer { to, call, operation, told });
        }
        self.node_mut(name).latest = Some((operation.id, told));
    }
}

/// Events for which an operation hangs: longer than any deadline.
pub(super) const HANGS: usize = 250;
