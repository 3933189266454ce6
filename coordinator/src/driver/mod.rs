//! The loop round the engine: look at all nodes, plan, carry the plan out, look again, until nothing
//! is left. Decides nothing about steps: that is the planner's and the engine's.
//!
//! `observe` looks, `round` carries one plan out, `order` follows one order, `record` takes all
//! events in one line, `lock` keeps a second run away. `settled` looks for `verify`.

mod lock;
mod look;
mod material;
mod observe;
mod order;
mod record;
mod round;
mod settled;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use lock::{LockError, LockHolder, RunLock};
pub use material::NoRandom;
pub use observe::{Checked, Drawn, Survey, check, draw_up, now_ms, survey};
use quorate_proto::{NodeName, Redactor, RunId, StepId, Term};
pub use settled::{SETTLING, settled};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

use self::look::Looks;
use self::order::Orders;
pub(crate) use self::record::Record;
use self::round::{Round, RoundEnd};
use crate::fleet::Fleet;
use crate::plan::{Observed, Plan};
use crate::procedure::Procedure;
use crate::run::{Began, Outcome, PlannedStep, RunEvent, Silent, View};
use crate::spec::{ClusterSpec, Role};
use crate::store::{Store, StoreError, StoredRun};

/// What a run is to bring about, and with whom.
pub struct Request {
    pub fleet: Arc<dyn Fleet>,
    pub spec: ClusterSpec,
    pub procedure: Procedure,
    /// Digest of the specification's text, for the record.
    pub spec_sha256: String,
    pub run: RunId,
    /// When the command was given: the run's time counts from there.
    pub began: Instant,
    /// How often Ctrl-C was pressed.
    pub interrupts: watch::Receiver<u32>,
}

/// Why a run could not go on; what runs at the nodes is not touched by it.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("recording the run")]
    Store(#[source] StoreError),
    #[error("minting a join token")]
    Random(#[source] NoRandom),
    /// Counting on from there would have all other nodes refuse this run, and the next ones.
    #[error(
        "node {node} says that it obeys term {}, which is more than {} above {ours}, the newest of \
         this state folder",
        term.number,
        Term::REACH
    )]
    OutOfReach { node: NodeName, term: Term, ours: u64 },
}

/// Carries the procedure out as far as that can be done now, beginning with what was drawn up
/// already.
pub async fn apply(
    request: &Request,
    first: Drawn,
    store: &mut Store,
    view: Box<dyn View>,
) -> Result<Outcome, DriveError> {
    let term = next_term(store, &first.observed, &request.run)?;
    let started_ms = now_ms();
    let stored = StoredRun {
        id: request.run.clone(),
        term: term.number,
        spec_sha256: request.spec_sha256.clone(),
        started_ms,
        ended_ms: None,
        outcome: None,
    };
    store.begin_run(&stored).map_err(DriveError::Store)?;
    let mut record = Record::new(request.run.clone(), request.began, store, view);
    record.tell(RunEvent::Began(Began {
        run: request.run.clone(),
        term: term.number,
        cluster: request.spec.name.clone(),
        nodes: request.spec.nodes.iter().map(|node| node.name.clone()).collect(),
        title: request.procedure.title(&request.spec.name),
        started_ms,
    }));
    record.flush().map_err(DriveError::Store)?;
    let result = rounds(request, term, first, &mut record).await;
    match &result {
        Ok(outcome) => record.finish(outcome, now_ms()).map_err(DriveError::Store)?,
        Err(_) => record.close(),
    }
    result
}

async fn rounds(
    request: &Request,
    term: Term,
    first: Drawn,
    record: &mut Record<'_>,
) -> Result<Outcome, DriveError> {
    let Request { fleet, spec, procedure, .. } = request;
    let control_planes = spec.with_role(Role::ControlPlane).map(|node| node.name.clone());
    let material = material::mint().map_err(DriveError::Random)?;
    let orders = Arc::new(Orders {
        fleet: Arc::clone(fleet),
        term,
        redactor: Redactor::of(&material),
        material,
        control_planes: control_planes.collect(),
        ca_pem: OnceCell::new(),
    });
    // Orders may still be on their way from a run before: only a look that claims the nodes is a
    // ground to act on. Where there is nothing to do no node need be claimed.
    let mut looks = Looks::after(&first.observed);
    let mut look = Some(first).filter(|first| first.plan.is_complete());
    let mut progress = Progress::default();
    loop {
        let drawn = match look.take() {
            Some(drawn) => Ok(drawn),
            None => {
                let seen = looks.look(request, &orders.term, record).await?;
                if let Some((node, by)) = seen.superseded {
                    return Ok(Outcome::Superseded { node, by });
                }
                draw_up(fleet, spec, procedure, seen).await
            }
        };
        let drawn = match drawn {
            Ok(drawn) => drawn,
            Err(reasons) => return Ok(Outcome::Blocked { reasons }),
        };
        let (left, silent) = (planned(&drawn.plan), silent(&drawn.observed));
        record.tell(RunEvent::Planned { left, silent });
        record.flush().map_err(DriveError::Store)?;
        if drawn.plan.is_complete() {
            return Ok(Outcome::Holds);
        }
        if !progress.is_made(&drawn.plan) {
            return Ok(Outcome::Failed { left: unfinished(&drawn.plan) });
        }
        let interrupts = request.interrupts.clone();
        if *interrupts.borrow() > 0 {
            let left = drawn.plan.steps.len();
            return Ok(Outcome::Interrupted { left, running: Vec::new() });
        }
        match Round::carry_out(&drawn.plan, &orders, interrupts, record).await? {
            RoundEnd::Over(outcome) => return Ok(outcome),
            RoundEnd::Idle(ended) if ended.failed.is_empty() => {}
            RoundEnd::Idle(ended) => {
                let failed = ended.failed.into_iter().map(|(step, _)| step);
                let left = failed.chain(ended.adrift).chain(ended.unstarted);
                let withheld = drawn.plan.withheld.into_iter().map(|withheld| withheld.step);
                return Ok(Outcome::Failed { left: left.chain(withheld).collect() });
            }
        }
    }
}

/// Tells a run that gets somewhere from one that would go round for ever.
#[derive(Debug, Default)]
struct Progress {
    before: Option<Vec<StepId>>,
    stalled: u32,
}

impl Progress {
    /// A lost node may be back, and its operation over, with nothing else changed: so one round
    /// may bring nothing, and a second one not.
    fn is_made(&mut self, plan: &Plan) -> bool {
        if plan.steps.is_empty() && plan.under_way.is_empty() {
            return false;
        }
        let left: Vec<StepId> = plan.steps.iter().map(|left| left.step.id.clone()).collect();
        let same = self.before.as_ref() == Some(&left);
        self.stalled = if same { self.stalled + 1 } else { 0 };
        self.before = Some(left);
        self.stalled < 2
    }
}

fn planned(plan: &Plan) -> Vec<PlannedStep> {
    let planned = plan.steps.iter().map(|left| PlannedStep {
        step: left.step.id.clone(),
        doing: left.step.goal.doing(),
        after: left.step.after.clone(),
        lane: left.step.lane.clone(),
    });
    planned.collect()
}

fn unfinished(plan: &Plan) -> Vec<StepId> {
    let left = plan.steps.iter().map(|left| left.step.id.clone());
    left.chain(plan.withheld.iter().map(|withheld| withheld.step.clone())).collect()
}

/// Higher than any that this folder knows and any that a node obeys.
fn next_term(store: &Store, observed: &Observed, run: &RunId) -> Result<Term, DriveError> {
    let ours = store.newest_term().map_err(DriveError::Store)?;
    let mut newest = ours;
    for facts in observed.nodes.keys().filter_map(|node| observed.facts(node)) {
        if facts.term.is_out_of_reach(ours) {
            let (node, term) = (facts.node.clone(), facts.term.clone());
            return Err(DriveError::OutOfReach { node, term, ours });
        }
        newest = newest.max(facts.term.number);
    }
    Ok(Term { number: newest.saturating_add(1), run: run.clone() })
}

fn silent(observed: &Observed) -> Vec<Silent> {
    let silent =
        |(node, why): (&NodeName, &str)| Silent { node: node.clone(), why: why.to_owned() };
    observed.silent().map(silent).collect()
}
