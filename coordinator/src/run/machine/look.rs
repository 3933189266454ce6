//! A look at all nodes, which gives those that answered before some time to come back.
//!
//! An agent that is restarted, by a crash or by an upgrade, is back within seconds. Without this a
//! run that looks at that moment would end with its node's steps left over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use quorate_proto::{NodeName, Term};

use super::effect::{Call, Input, Turn};
use super::survey::{Barred, Checks, Drawn, Survey, answering, silent};
use crate::plan::{Blocked, Findings, Observed, Outline, Plan, pending};
use crate::procedure::Procedure;
use crate::run::RunEvent;
use crate::spec::ClusterSpec;

/// How long nodes that are missed are waited for. A machine that reboots may take longer: it is left
/// out, and `apply` again has it.
const PATIENCE_MS: u64 = 20_000;
const PAUSE_MS: u64 = 1_000;

/// Which steps a run asks for, and which of them are left.
pub trait Planner: Debug + Send + Sync {
    /// Lists every step.
    fn outline(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked>;

    /// Keeps those that are left.
    fn pending(
        &self,
        outline: &Outline,
        findings: &Findings,
        observed: &Observed,
    ) -> Result<Plan, Blocked> {
        pending(outline, findings, observed)
    }
}

impl Planner for Procedure {
    fn outline(&self, spec: &ClusterSpec, observed: &Observed) -> Result<Outline, Blocked> {
        Self::outline(self, spec, observed)
    }
}

/// What a run is to bring about.
#[derive(Debug)]
pub struct Target {
    pub spec: ClusterSpec,
    pub planner: Box<dyn Planner>,
}

/// A look that is not over.
#[derive(Debug, Clone)]
pub struct Look {
    target: Arc<Target>,
    /// The term with which the nodes are claimed.
    claim: Option<Term>,
    /// Nodes that answered before.
    expected: BTreeSet<NodeName>,
    began_ms: u64,
    /// Whether it was recorded that nodes are missed.
    missed: bool,
    stage: Stage,
    /// Calls that were not answered yet.
    asked: BTreeMap<Call, NodeName>,
    /// Nodes that answered Describe.
    answering: BTreeSet<NodeName>,
}

#[derive(Debug, Clone)]
enum Stage {
    Describing(Survey),
    /// Before all are asked again.
    Pausing {
        until_ms: u64,
    },
    Checking(Box<Checks>),
    Over,
}

/// What a look gave.
#[derive(Debug, Clone)]
pub enum Seen {
    Drawn(Box<Drawn>),
    Barred(Barred),
    /// A node obeys a newer run than the one that claims it.
    Superseded {
        node: NodeName,
        by: Term,
    },
}

impl Look {
    /// Asks all nodes at once. With a claim, no older order begins at a node that answered: what
    /// the look does not show cannot happen any more.
    pub fn begin(
        target: Arc<Target>,
        claim: Option<Term>,
        expected: BTreeSet<NodeName>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let mut look = Self {
            target,
            claim,
            expected,
            began_ms: turn.now_ms,
            missed: false,
            stage: Stage::Over,
            asked: BTreeMap::new(),
            answering: BTreeSet::new(),
        };
        look.describe(turn);
        look
    }

    /// Takes an answer, or that time passed. It waits for no node once it was `interrupted`.
    pub fn handle(&mut self, input: Input, interrupted: bool, turn: &mut Turn<'_>) -> Option<Seen> {
        match (input, &mut self.stage) {
            (Input::Described { call, answer }, Stage::Describing(survey)) => {
                survey.take(self.asked.remove(&call)?, answer);
            }
            (Input::Checked { call, answer }, Stage::Checking(checks)) => {
                checks.take(self.asked.remove(&call)?, answer);
            }
            (Input::TimePassed, Stage::Pausing { until_ms }) if *until_ms <= turn.now_ms => {
                self.describe(turn);
            }
            (
                Input::Described { .. }
                | Input::Checked { .. }
                | Input::Told { .. }
                | Input::Closed { .. }
                | Input::Interrupted
                | Input::TimePassed,
                _,
            ) => return None,
        }
        self.proceed(interrupted, turn)
    }

    /// When a pause ends.
    pub fn wake_at(&self) -> Option<u64> {
        match self.stage {
            Stage::Pausing { until_ms } => Some(until_ms),
            Stage::Describing(_) | Stage::Checking(_) | Stage::Over => None,
        }
    }

    /// The nodes that answered, once the look is over.
    pub(super) fn take_answering(&mut self) -> BTreeSet<NodeName> {
        std::mem::take(&mut self.answering)
    }

    fn describe(&mut self, turn: &mut Turn<'_>) {
        self.stage = Stage::Describing(Survey::default());
        for node in self.target.spec.nodes.iter().map(|node| &node.name) {
            self.asked.insert(turn.describe(node.clone(), self.claim.clone()), node.clone());
        }
    }

    /// Goes on where all that were asked have answered.
    fn proceed(&mut self, interrupted: bool, turn: &mut Turn<'_>) -> Option<Seen> {
        if !self.asked.is_empty() {
            return None;
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Describing(survey) => self.described(survey, interrupted, turn),
            Stage::Checking(checks) => Some(self.checked(*checks)),
            Stage::Pausing { .. } | Stage::Over => None,
        }
    }

    fn described(
        &mut self,
        survey: Survey,
        interrupted: bool,
        turn: &mut Turn<'_>,
    ) -> Option<Seen> {
        let missed = silent(&survey.observed, |node| self.expected.contains(node));
        let patient = turn.now_ms < self.began_ms + PATIENCE_MS && !interrupted;
        if !missed.is_empty() && survey.superseded.is_none() && patient {
            if !std::mem::replace(&mut self.missed, true) {
                let seconds = PATIENCE_MS / 1_000;
                turn.record(RunEvent::Missed { silent: missed, seconds });
            }
            self.stage = Stage::Pausing { until_ms: turn.now_ms + PAUSE_MS };
            return None;
        }
        self.answering = answering(&survey.observed);
        if let Some((node, by)) = survey.superseded {
            return Some(Seen::Superseded { node, by });
        }
        match survey.checks(&self.target.spec, &*self.target.planner) {
            Err(barred) => Some(Seen::Barred(barred)),
            Ok(checks) => {
                for (node, goals) in checks.questions() {
                    self.asked.insert(turn.check(node.clone(), goals), node);
                }
                self.stage = Stage::Checking(Box::new(checks));
                // Where no node answers there is nothing to check.
                self.proceed(interrupted, turn)
            }
        }
    }

    fn checked(&self, checks: Checks) -> Seen {
        match checks.draw_up(&*self.target.planner) {
            Ok(drawn) => Seen::Drawn(Box::new(drawn)),
            Err(barred) => Seen::Barred(barred),
        }
    }
}
