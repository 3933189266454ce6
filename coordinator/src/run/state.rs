//! The state of a run, folded from its events.

use std::collections::BTreeMap;

use quorate_proto::{
    Activity, ActivityKind, Event, Failure, Finding, NodeName, OperationId, RunId, StepId,
};

use super::{Account, Began, Outcome, PendingSteps, RunEvent, Silent, Stamped};
use crate::plan::Lane;
use crate::procedure::Title;

/// What is known of a run after some of its events. Upheld by [`RunState::fold`] alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunState {
    pub run: RunId,
    pub cluster: String,
    pub title: Title,
    /// In the order of the specification.
    pub nodes: Vec<(NodeName, NodeState)>,
    /// Of the newest plan, those that have not ended yet.
    pub left: PendingSteps,
    /// Rounds of looking at all nodes.
    pub rounds: u32,
    /// Steps that hold by this run's work.
    pub done: usize,
    pub failed: Vec<Failed>,
    /// Steps that ended, in the order of ending.
    pub ended: Vec<Ended>,
    pub interrupted: bool,
    pub outcome: Option<Outcome>,
    pub account: Account,
    /// Time of the newest event.
    pub at_ms: u64,
    working: BTreeMap<NodeName, ActivityKind>,
    /// Where in `nodes` each is.
    places: BTreeMap<NodeName, usize>,
}

/// One node in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeState {
    pub doing: Option<Doing>,
    /// Why it does not answer.
    pub silent: Option<String>,
    /// The newest thing that was done there without an order.
    pub noted: Option<String>,
}

/// An operation under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doing {
    pub step: StepId,
    pub operation: OperationId,
    /// "joining etcd"
    pub doing: String,
    /// "etcd has its member here"
    pub done: String,
    /// The newest thing the node said of it, such as "kubeadm join phase etcd-join".
    pub activity: Option<Activity>,
    pub since_ms: u64,
    pub overdue: bool,
}

/// A step that ended, one way or the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub step: StepId,
    /// What holds if its goal does.
    pub done: String,
    pub took_ms: u64,
}

/// A step that ended without its goal holding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub step: StepId,
    pub doing: String,
    pub finding: Finding,
    pub failure: Option<Failure>,
}

impl RunState {
    /// Takes the next event in.
    pub fn fold(&mut self, stamped: &Stamped) {
        let stretch = stamped.at_ms.saturating_sub(self.at_ms);
        self.account.count(stretch, &self.working);
        self.at_ms = stamped.at_ms;
        match &stamped.event {
            RunEvent::Began(Began { run, term: _, cluster, nodes, title, started_ms: _ }) => {
                let fresh = nodes.iter().map(|node| (node.clone(), NodeState::default()));
                *self = Self {
                    run: run.clone(),
                    cluster: cluster.clone(),
                    title: title.clone(),
                    nodes: fresh.collect(),
                    places: nodes.iter().cloned().zip(0..).collect(),
                    at_ms: stamped.at_ms,
                    // Looking at the nodes before the first plan is time of the run too.
                    account: std::mem::take(&mut self.account),
                    ..Self::default()
                };
            }
            RunEvent::Planned { left, silent } => {
                self.rounds += 1;
                self.left = PendingSteps::of(left);
                self.failed.retain(|failed| self.left.get(&failed.step).is_some());
                self.nodes.iter_mut().for_each(|(_, node)| node.silent = None);
                self.miss(silent);
            }
            RunEvent::Missed { silent, seconds: _ } => self.miss(silent),
            RunEvent::Dispatched { step, operation, doing, done } => {
                self.failed.retain(|failed| failed.step != *step);
                self.begin(step, operation, doing, done);
            }
            RunEvent::Followed { step, operation, doing, .. } => {
                self.begin(step, operation, doing, &format!("{doing} ended"));
            }
            RunEvent::Told { step, event } => self.told(step, event),
            RunEvent::Broken { step, why } => {
                self.node(&step.node, |node| node.silent = Some(why.clone()));
            }
            RunEvent::Lost { step, why } => {
                self.end(step);
                self.node(&step.node, |node| node.silent = Some(why.clone()));
            }
            RunEvent::Overdue { step, seconds: _ } => self.node(&step.node, |node| {
                node.doing.iter_mut().for_each(|doing| doing.overdue = true);
            }),
            RunEvent::NotTaken { step, .. } | RunEvent::Retrying { step, .. } => {
                self.working.remove(&step.node);
                self.node(&step.node, |node| node.doing = None);
            }
            RunEvent::Freed { step } => self.end(step),
            RunEvent::Noted { node, text } => {
                if let Some(name) = node {
                    self.node(name, |node| node.noted = Some(text.clone()));
                }
            }
            RunEvent::Interrupted => self.interrupted = true,
            RunEvent::Finished { outcome, account: _ } => {
                self.outcome = Some(outcome.clone());
            }
        }
    }

    /// Where the time went, as far as this moment.
    pub fn account_until(&self, at_ms: u64) -> Account {
        let mut account = self.account.clone();
        account.count(at_ms.saturating_sub(self.at_ms), &self.working);
        account
    }

    /// Whether the node did not answer when it was last heard of.
    pub fn is_silent(&self, node: &NodeName) -> bool {
        self.state_of(node).is_some_and(|state| state.silent.is_some())
    }

    /// What a node works on.
    pub fn doing(&self, node: &NodeName) -> Option<&Doing> {
        self.state_of(node)?.doing.as_ref()
    }

    /// A step in words, "joining etcd"; by its goal's id where no event has told them.
    pub fn words_of(&self, step: &StepId) -> String {
        let doing = self.doing(&step.node).filter(|doing| doing.step == *step);
        let words = doing.map(|doing| &doing.doing);
        let words = words.or_else(|| Some(&self.left.get(step)?.doing));
        words.cloned().unwrap_or_else(|| step.goal.doing())
    }

    /// What a node without work waits for, in words; `None` where nothing is left there.
    pub fn waits_for(&self, node: &NodeName) -> Option<String> {
        let next = self.left.first_of(node)?;
        if let Some(first) = self.left.first_before(next) {
            let failed = self.failed.iter().any(|failed| failed.step == first.step);
            let state = if failed { "held up by" } else { "waits for" };
            return Some(format!("{state} {}: {}", first.step.node, first.doing));
        }
        Some(match next.lane {
            Lane::Free => format!("next: {}", next.doing),
            Lane::Membership => format!("waits for its turn: {}", next.doing),
            Lane::WorkerJoins { width } => {
                format!("waits for its turn, {width} at once: {}", next.doing)
            }
        })
    }

    fn miss(&mut self, silent: &[Silent]) {
        for Silent { node, why } in silent {
            self.node(node, |node| node.silent = Some(why.clone()));
        }
    }

    fn told(&mut self, step: &StepId, event: &Event) {
        match event {
            Event::Started { attached: _ } => {
                self.working.insert(step.node.clone(), ActivityKind::Own);
                self.node(&step.node, |node| node.silent = None);
            }
            Event::Activity(activity) => {
                self.working.insert(step.node.clone(), activity.kind);
                self.node(&step.node, |node| {
                    node.doing.iter_mut().for_each(|doing| doing.activity = Some(activity.clone()));
                });
            }
            Event::Output { line: _ } => {}
            Event::Ended { finding, failure } => {
                let doing = self.doing(&step.node).map(|doing| doing.doing.clone());
                self.end(step);
                if finding.is_satisfied() {
                    self.done += 1;
                    self.left.remove(step);
                } else {
                    self.failed.push(Failed {
                        step: step.clone(),
                        doing: doing.unwrap_or_else(|| step.goal.doing()),
                        finding: finding.clone(),
                        failure: failure.clone(),
                    });
                }
            }
        }
    }

    fn begin(&mut self, step: &StepId, operation: &OperationId, doing: &str, done: &str) {
        let at_ms = self.at_ms;
        self.working.insert(step.node.clone(), ActivityKind::Own);
        self.node(&step.node, |node| {
            node.doing = Some(Doing {
                step: step.clone(),
                operation: operation.clone(),
                doing: doing.to_owned(),
                done: done.to_owned(),
                activity: None,
                since_ms: at_ms,
                overdue: false,
            });
        });
    }

    fn end(&mut self, step: &StepId) {
        self.working.remove(&step.node);
        let mut ended = None;
        self.node(&step.node, |node| ended = node.doing.take());
        if let Some(Doing { done, since_ms, .. }) = ended {
            let took_ms = self.at_ms.saturating_sub(since_ms);
            self.ended.push(Ended { step: step.clone(), done, took_ms });
        }
    }

    fn node(&mut self, name: &NodeName, mut change: impl FnMut(&mut NodeState)) {
        let node = self.places.get(name).and_then(|at| self.nodes.get_mut(*at));
        node.into_iter().for_each(|(_, node)| change(node));
    }

    fn state_of(&self, name: &NodeName) -> Option<&NodeState> {
        self.nodes.get(*self.places.get(name)?).map(|(_, node)| node)
    }
}
