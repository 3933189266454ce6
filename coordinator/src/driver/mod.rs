//! Carries a machine (`run::machine`) out: makes its calls, stores and shows its events, looks at the
//! clock for it and passes Ctrl-C on. Decides nothing about the run.
//!
//! `observe` looks for `plan`, `status` and `verify`, `calls` makes the calls of a run, `record` takes
//! all its events in one line, `lock` keeps a second run away. `settled` looks for `verify`.

mod calls;
mod lock;
mod material;
mod observe;
mod record;
mod settled;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use lock::{LockError, LockHolder, RunLock};
pub use material::NoRandom;
pub use observe::{check, draw_up, now_ms, survey};
use quorate_proto::{NodeName, OperationId, RunId, Term};
pub use settled::{SETTLING, settled};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use self::calls::Calls;
pub(crate) use self::record::Record;
use crate::fleet::Fleet;
use crate::plan::Observed;
use crate::procedure::Procedure;
pub use crate::run::machine::{Checked, Drawn, Survey};
use crate::run::machine::{Effect, Input, Machine, Target, next_term};
use crate::run::{Began, Outcome, RunEvent, View};
use crate::spec::{ClusterSpec, Role};
use crate::store::{Store, StoreError, StoredRun};

/// Events that are stored in one transaction at most: a screen full of what apt-get prints is one, and
/// nothing waits for long while nodes talk without a pause.
const BURST: usize = 256;
/// How often the display follows the clock.
const TICK: Duration = Duration::from_secs(1);

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
    let term = term(store, &first.observed, &request.run)?;
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
    let result = carry_out(request, term, first, &mut record).await;
    match &result {
        Ok(outcome) => record.finish(outcome, now_ms()).map_err(DriveError::Store)?,
        Err(_) => record.close(),
    }
    result
}

/// Higher than any that this folder knows and any that a node obeys.
fn term(store: &Store, observed: &Observed, run: &RunId) -> Result<Term, DriveError> {
    let ours = store.newest_term().map_err(DriveError::Store)?;
    let out_of_reach = |(node, term)| DriveError::OutOfReach { node, term, ours };
    next_term(ours, observed, run).map_err(out_of_reach)
}

async fn carry_out(
    request: &Request,
    term: Term,
    first: Drawn,
    record: &mut Record<'_>,
) -> Result<Outcome, DriveError> {
    let Request { fleet, spec, procedure, began, .. } = request;
    let control_planes = spec.with_role(Role::ControlPlane).map(|node| node.name.clone());
    let material = material::mint().map_err(DriveError::Random)?;
    let mut calls = Calls::new(Arc::clone(fleet), material, control_planes.collect());
    let target = Target { spec: spec.clone(), planner: Box::new(procedure.clone()) };
    let elapsed_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let new_operation = &mut || OperationId(Uuid::now_v7().to_string());
    let (mut machine, effects) = Machine::start(Arc::new(target), term, first, elapsed_ms());
    carry(effects, &mut calls, record)?;
    let mut interrupts = request.interrupts.clone();
    let mut next_tick = Instant::now() + TICK;
    loop {
        // What waits already is stored and shown together.
        if !calls.is_waiting() || record.waiting() >= BURST {
            record.flush().map_err(DriveError::Store)?;
        }
        if let Some(over) = machine.over() {
            return Ok(over.outcome());
        }
        let alarm = machine.wake_at().map(|at_ms| *began + Duration::from_millis(at_ms));
        let wake = alarm.map_or(next_tick, |alarm| alarm.min(next_tick));
        let input = tokio::select! {
            biased;
            () = pressed(&mut interrupts) => Input::Interrupted,
            input = calls.next() => input,
            () = sleep_until(wake) => Input::TimePassed,
        };
        if next_tick <= Instant::now() {
            next_tick = Instant::now() + TICK;
            record.tick();
        }
        carry(machine.handle(elapsed_ms(), input, new_operation), &mut calls, record)?;
    }
}

/// Waits for Ctrl-C; without a sender there is none.
async fn pressed(interrupts: &mut watch::Receiver<u32>) {
    if interrupts.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn carry(
    effects: Vec<Effect>,
    calls: &mut Calls,
    record: &mut Record<'_>,
) -> Result<(), DriveError> {
    for effect in effects {
        match effect {
            Effect::Record(event) => record.tell(event),
            Effect::Describe { call, node, claim } => calls.describe(call, node, claim),
            Effect::Check { call, node, goals } => calls.check(call, node, &goals),
            Effect::Send { call, order } => {
                record.flush().map_err(DriveError::Store)?;
                calls.send(call, *order);
            }
            Effect::HangUp { call } => calls.hang_up(call),
        }
    }
    Ok(())
}
