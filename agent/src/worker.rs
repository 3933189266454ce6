//! One operation at a time: starts it or attaches to it, and refuses older terms.
//!
//! How a goal is checked and applied is the goal's part; what is told of an operation, and to
//! whom, is [`Operation`]'s. An operation goes on when nobody listens.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use quorate_proto::audit::{Deed, Own};
use quorate_proto::wire::Order;
use quorate_proto::{
    Activity, ActivityKind, Event, Facts, Failure, Finding, Goal, JoinMaterial, NodeName,
    OperationId, Redactor, Refusal, Secret, Sha256, Term, in_one_line,
};
use tokio::sync::{Mutex, mpsc};

use crate::audit::{self, Audit, AuditError};
use crate::caller::Caller;
use crate::facts;
use crate::failure;
use crate::goal::{Ensure, Work};
use crate::host::{Host, HostError};
use crate::kubeadm::ADMIN_CONF;
use crate::ledger::{Begun, Content, Ledger, LedgerError};
use crate::operation::Operation;
use crate::progress::Progress;

/// A check that takes longer tells nothing worth waiting for: whom it asks does not answer.
const CHECK_DEADLINE: Duration = Duration::from_secs(5);
/// Checks side by side: enough that one silent API costs its deadline once, few enough for a node
/// that is busy.
const CHECKS_AT_ONCE: usize = 4;
/// What Kubernetes brings about may be gone again after it was seen to hold: while one pod of its DNS is on
/// a machine that died, every other question has no answer. So often in a row that is not by chance.
const WAITS: u32 = 10;
/// Between two tries to follow a unit, where systemd or the journal did not answer.
const FOLLOW_AGAIN: Duration = Duration::from_secs(2);

/// What checks and applies a goal.
pub type Goals = fn(&Goal) -> &dyn Ensure;

/// Why the worker cannot begin its service.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("asking systemd what an earlier agent left running")]
    Units(#[source] HostError),
    /// Starting another operation beside them could break a cluster.
    #[error(
        "{} still runs, and the ledger does not know for which operation: wait for its end, or \
         stop it with `systemctl stop`", .0.join(", ")
    )]
    Stray(Vec<String>),
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What does the work of this node.
pub struct Worker {
    host: Arc<dyn Host>,
    goals: Goals,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    audit: Audit,
    /// The operation under way, or the last one: its end is kept for whoever asks again.
    latest: Option<Arc<Operation>>,
}

impl State {
    fn under_way(&self) -> Option<&Arc<Operation>> {
        self.latest.as_ref().filter(|operation| !operation.is_over())
    }

    /// A term counts from the moment it is seen, also with an order that is then refused as busy:
    /// the older run must not go on beside the new one.
    fn admit(&self, term: &Term) -> Result<Content, Refusal> {
        let Content { term: newest, under_way } = self.ledger.content.clone();
        if !term.obeyed_after(&newest) {
            return Err(Refusal::Superseded { term: newest });
        }
        if term.is_out_of_reach(newest.number) {
            tracing::warn!(%term, %newest, "a term out of reach is refused");
            return Err(Refusal::Invalid(self.out_of_reach(term, &newest)));
        }
        Ok(Content { term: term.clone(), under_way })
    }

    /// For a person who is root here: nobody else decides that such a number is right.
    fn out_of_reach(&self, term: &Term, newest: &Term) -> String {
        format!(
            "term {} is more than {} above {}, the newest that this node obeyed, and runs count by \
             one: find out who sent it. If the number is right, stop quorate-executor.socket and \
             quorate-executor.service on this node, set it as the term's number in {}, and start \
             the socket again",
            term.number,
            Term::REACH,
            newest.number,
            self.ledger.path
        )
    }
}

impl Worker {
    /// Takes up the ledger of this folder, and follows what an earlier agent left running.
    pub async fn open(
        host: Arc<dyn Host>,
        goals: Goals,
        state_folder: &str,
    ) -> Result<Arc<Self>, OpenError> {
        let mut ledger = Ledger::load(&*host, state_folder).await?;
        let units = host.units_under_way().await.map_err(OpenError::Units)?;
        let mut audit = Audit::open(&*host, state_folder).await;
        let content = ledger.content.clone();
        let boot = host.machine().await.map(|machine| machine.boot_id).unwrap_or_default();
        let started = Deed::AgentStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot,
            operation: content.under_way.as_ref().map(|begun| begun.operation.clone()),
            goes_on: content.under_way.is_some() && !units.is_empty(),
        };
        audit.note(&*host, started).await;
        let left = match (content.under_way, units.is_empty()) {
            (None, true) => None,
            (None, false) => return Err(OpenError::Stray(units)),
            (Some(begun), true) => {
                tracing::info!(operation = %begun.operation, goal = %begun.goal.id(), "ended with the agent");
                ledger.put(&*host, Content { term: content.term, under_way: None }).await?;
                None
            }
            (Some(begun), false) => {
                // Its secrets went with the agent that knew them: shapes are left.
                Some(Arc::new(Operation::new(begun, Redactor::default())))
            }
        };
        let state = Mutex::new(State { ledger, audit, latest: left.clone() });
        let worker = Arc::new(Self { host, goals, state });
        if let Some(operation) = left {
            tracing::info!(operation = %operation.begun.operation, "goes on");
            tokio::spawn(Arc::clone(&worker).resume(operation));
        }
        Ok(worker)
    }

    /// From now on no order of an older term begins: who looks next sees all that can still happen.
    ///
    /// A wait that an earlier run ordered ends here: it changes nothing, and would keep the node from
    /// what it waits for.
    pub async fn claim(&self, caller: &Caller, term: &Term) -> Result<(), NotTaken> {
        let abandoned = {
            let mut state = self.state.lock().await;
            let claimed = self.obey(&mut state, caller, term).await;
            self.told(&mut state, caller, || format!("a claim of term {term}"), claimed).await?;
            let wait = |operation: &&Arc<Operation>| {
                operation.begun.goal.is_awaited() && operation.begun.term.run != term.run
            };
            state.under_way().filter(wait).cloned()
        };
        if let Some(operation) = abandoned {
            operation.cancel();
            operation.over().await;
        }
        Ok(())
    }

    /// What the node of this name is and holds.
    pub async fn describe(&self, node: &NodeName) -> Result<Facts, HostError> {
        let (term, under_way, audit) = {
            let state = self.state.lock().await;
            let under_way = state.under_way().map(|operation| operation.begun.facts());
            (state.ledger.content.term.clone(), under_way, state.audit.head().cloned())
        };
        let host = &*self.host;
        let kubernetes = facts::kubernetes(host).await?;
        // Both may wait for machines that are gone.
        let (etcd, nodes) = tokio::join!(facts::etcd(host), facts::nodes(host));
        Ok(Facts {
            node: node.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            // Last, so that its clock is read when the answer is sent.
            machine: host.machine().await?,
            term,
            under_way,
            kubernetes,
            etcd,
            nodes,
            audit,
        })
    }

    /// The cluster's admin kubeconfig; `None` where this node has none.
    pub async fn kubeconfig(&self, caller: &Caller) -> Result<Option<Secret>, NotTaken> {
        let Some(kubeconfig) = self.host.text(ADMIN_CONF).await?.map(Secret::new) else {
            return Ok(None);
        };
        let audit = &mut self.state.lock().await.audit;
        audit.record(&*self.host, Deed::Kubeconfig { by: caller.into() }).await?;
        Ok(Some(kubeconfig))
    }

    /// The lines of the audit log after this number, a few at a time.
    pub async fn audit(
        &self,
        after: u64,
    ) -> impl Stream<Item = Result<Vec<String>, HostError>> + use<> {
        let folder = self.state.lock().await.audit.folder().to_owned();
        let place = (Arc::clone(&self.host), folder, None);
        let segments = stream::try_unfold(place, move |(host, folder, mut place)| async move {
            let lines = Audit::lines(&*host, &folder, after, &mut place).await?;
            Ok(lines.map(|lines| (lines, (host, folder, place))))
        });
        let parcels = |lines| stream::iter(audit::parcels(lines).into_iter().map(Ok));
        segments.map_ok(parcels).try_flatten().boxed()
    }

    /// Writes down that something was asked for which nobody may ask.
    pub async fn refused(&self, caller: &Caller, asked: &str, why: &str) {
        let why = audit::text(&Redactor::default(), why);
        let refused = Deed::Refused { by: caller.into(), asked: asked.to_owned(), why };
        self.state.lock().await.audit.note(&*self.host, refused).await;
    }

    /// Writes down what the front end is about to keep. An error means: it must not.
    pub async fn keeps(&self, caller: &Caller, own: Own) -> Result<(), AuditError> {
        let keeps = Deed::Keeps { by: caller.into(), own };
        self.state.lock().await.audit.record(&*self.host, keeps).await
    }

    /// A finding for each goal, in their order. Runs beside an operation too.
    pub async fn check(&self, goals: &[Goal]) -> Vec<Finding> {
        let redactor = {
            let latest = &self.state.lock().await.latest;
            latest.as_ref().map(|latest| latest.redactor.clone()).unwrap_or_default()
        };
        let mut checks = Vec::new();
        for goal in goals {
            checks.push(self.check_one(goal).boxed());
        }
        let findings = stream::iter(checks).buffered(CHECKS_AT_ONCE);
        findings.map(|finding| redactor.finding(finding)).collect().await
    }

    /// Begins an operation, or attaches to it; the stream ends with `Event::Ended`.
    pub async fn ensure(
        self: &Arc<Self>,
        caller: &Caller,
        order: Order,
    ) -> Result<impl Stream<Item = Event> + Send + use<>, NotTaken> {
        let mut state = self.state.lock().await;
        let (operation, goal) = (order.operation.clone(), order.goal.id());
        let taken = self.take(&mut state, caller, order).await;
        let asked = || format!("operation {operation}, {goal}");
        let (operation, attached) = self.told(&mut state, caller, asked, taken).await?;
        Ok(operation.follow(attached))
    }

    async fn take(
        self: &Arc<Self>,
        state: &mut State,
        caller: &Caller,
        order: Order,
    ) -> Result<(Arc<Operation>, bool), NotTaken> {
        if let Some(latest) = state.latest.clone() {
            let same = latest.begun.operation == order.operation;
            if same || !latest.is_over() {
                self.obey(state, caller, &order.term).await?;
                return Ok((attachable(latest, &order)?, true));
            }
        }
        state.admit(&order.term)?;
        Ok((self.begin(state, caller, order).await?, false))
    }

    /// Takes note of a newer term; an older one is refused.
    async fn obey(&self, state: &mut State, caller: &Caller, term: &Term) -> Result<(), NotTaken> {
        let content = state.admit(term)?;
        if content == state.ledger.content {
            return Ok(());
        }
        let claimed = Deed::Claimed { by: caller.into(), term: term.clone() };
        state.audit.record(&*self.host, claimed).await?;
        Ok(state.ledger.put(&*self.host, content).await?)
    }

    /// Writes a refusal down.
    async fn told<T>(
        &self,
        state: &mut State,
        caller: &Caller,
        asked: impl FnOnce() -> String,
        result: Result<T, NotTaken>,
    ) -> Result<T, NotTaken> {
        // Of what the log does not take there is no use in writing to the log.
        if let Err(error) = &result
            && !matches!(error, NotTaken::Audit(_))
        {
            let clean = |said: &str| audit::text(&Redactor::default(), said);
            let (asked, why) = (clean(&asked()), clean(&in_one_line(error)));
            state.audit.note(&*self.host, Deed::Refused { by: caller.into(), asked, why }).await;
        }
        result
    }

    /// Asks an operation to end; no error where it is over already.
    pub async fn cancel(
        &self,
        caller: &Caller,
        operation: &OperationId,
        term: &Term,
    ) -> Result<(), NotTaken> {
        let mut state = self.state.lock().await;
        let cancelled = self.end(&mut state, caller, operation, term).await;
        let asked = || format!("to cancel operation {operation}");
        self.told(&mut state, caller, asked, cancelled).await
    }

    async fn end(
        &self,
        state: &mut State,
        caller: &Caller,
        operation: &OperationId,
        term: &Term,
    ) -> Result<(), NotTaken> {
        self.obey(state, caller, term).await?;
        let under_way = state.under_way().filter(|latest| latest.begun.operation == *operation);
        if let Some(under_way) = under_way.cloned() {
            let (operation, term) = (operation.clone(), term.clone());
            let cancelled = Deed::Cancelled { by: caller.into(), operation, term };
            state.audit.record(&*self.host, cancelled).await?;
            under_way.cancel();
        }
        Ok(())
    }

    /// The audit log and the ledger first: an operation of which they do not know must not exist.
    async fn begin(
        self: &Arc<Self>,
        state: &mut State,
        caller: &Caller,
        order: Order,
    ) -> Result<Arc<Operation>, NotTaken> {
        let since_ms = self.host.clock_ms().await;
        let Order { operation, term, goal, material } = order;
        let attempt = Deed::Attempt {
            by: caller.into(),
            operation: operation.clone(),
            term: term.clone(),
            goal: goal.id(),
            // Plain data: it cannot fail to serialise.
            order: Sha256::of(&serde_json::to_vec(&(&operation, &term, &goal)).unwrap_or_default()),
        };
        state.audit.record(&*self.host, attempt).await?;
        let begun = Begun { operation, term: term.clone(), goal, since_ms };
        let content = Content { term, under_way: Some(begun.clone()) };
        state.ledger.put(&*self.host, content).await?;
        state.audit.note(&*self.host, Deed::Begun { operation: begun.operation.clone() }).await;
        let (id, goal, run) = (&begun.operation, begun.goal.id(), &begun.term.run);
        tracing::info!(operation = %id, %goal, %run, "operation begins");
        let redactor = material.as_ref().map(Redactor::of).unwrap_or_default();
        let operation = Arc::new(Operation::new(begun, redactor));
        state.latest = Some(Arc::clone(&operation));
        tokio::spawn(Arc::clone(self).carry_out(Arc::clone(&operation), material));
        Ok(operation)
    }

    async fn carry_out(self: Arc<Self>, operation: Arc<Operation>, material: Option<JoinMaterial>) {
        let work = self.work(&operation, material.as_ref());
        let (finding, failure) = if operation.begun.goal.is_awaited() {
            // A wait starts no unit, so it may be dropped wherever it is.
            tokio::select! {
                biased;
                () = operation.cancelled() => {
                    let why = "the wait was cancelled".to_owned();
                    (Finding::Unknown { why }, Some(failure::of_cancelling()))
                }
                ended = work => ended,
            }
        } else {
            work.await
        };
        self.conclude(&operation, finding, failure).await;
    }

    /// Checks first: a goal that holds is not applied, unless it may hold for another run.
    async fn work(
        &self,
        operation: &Operation,
        material: Option<&JoinMaterial>,
    ) -> (Finding, Option<Failure>) {
        let goal = &operation.begun.goal;
        if goal.is_awaited() {
            // Kubernetes may take its time to answer. There is nothing to say yet.
            let (kind, text) = (ActivityKind::Wait, String::new());
            operation.tell(&Event::Activity(Activity { kind, text }));
        }
        let mut finding = self.check_one(goal).await;
        let mut failure = None;
        let mut rounds = if goal.is_awaited() { WAITS } else { 1 };
        let mut due = !finding.is_satisfied() || goal.is_of_one_run();
        while due {
            let (events, received) = mpsc::unbounded_channel();
            let progress = Progress::hiding(operation.redactor.clone(), events);
            let apply = async {
                let work = Work { progress: &progress, material };
                (self.goals)(goal).apply(&*self.host, &work).await
            };
            failure = self.attend(operation, received, apply).await;
            if failure.is_some() {
                self.see_units_end(operation).await;
            }
            finding = self.check_one(goal).await;
            rounds -= 1;
            due = rounds > 0 && failure.is_none() && !finding.is_satisfied();
        }
        (finding, failure)
    }

    /// Goes on with what an earlier agent left running. What it would have run next was known to it alone.
    async fn resume(self: Arc<Self>, operation: Arc<Operation>) {
        let failure = self.see_units_end(&operation).await;
        let finding = self.check_one(&operation.begun.goal).await;
        let half_done = matches!(finding, Finding::Drifted(_));
        let failure = failure.or_else(|| half_done.then(failure::of_restart));
        self.conclude(&operation, finding, failure).await;
    }

    /// An operation is not over while a unit of it runs: the next one would work beside it.
    async fn see_units_end(&self, operation: &Operation) -> Option<Failure> {
        let (events, received) = mpsc::unbounded_channel();
        let progress = Progress::hiding(operation.redactor.clone(), events);
        let follow = async {
            let mut outcome = Ok(());
            loop {
                let units = self.host.units_under_way().await?;
                if units.is_empty() {
                    return outcome;
                }
                for unit in units {
                    outcome = self.host.follow_unit(&unit, &progress).await;
                }
                if outcome.is_err() {
                    self.host.pause(FOLLOW_AGAIN).await;
                }
            }
        };
        self.attend(operation, received, follow).await
    }

    /// Runs work to its end, telling what it does. Units of it may be left only on a failure.
    async fn attend(
        &self,
        operation: &Operation,
        mut events: mpsc::UnboundedReceiver<Event>,
        work: impl Future<Output = Result<(), HostError>> + Send,
    ) -> Option<Failure> {
        let outcome = {
            let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
            loop {
                tokio::select! {
                    biased;
                    Some(event) = events.recv() => operation.tell(&event),
                    () = operation.cancelled() => break None,
                    outcome = &mut work => break Some(outcome),
                }
            }
        };
        while let Ok(event) = events.try_recv() {
            operation.tell(&event);
        }
        match outcome {
            Some(Ok(Ok(()))) => None,
            Some(Ok(Err(error))) => {
                let activity = operation.activity().map(|activity| activity.kind);
                Some(failure::of(&*self.host, activity, &error).await)
            }
            Some(Err(panic)) => Some(failure::of_panic(&*panic)),
            None => {
                self.stop_units().await;
                Some(failure::of_cancelling())
            }
        }
    }

    async fn stop_units(&self) {
        for unit in self.host.units_under_way().await.unwrap_or_default() {
            if let Err(error) = self.host.stop_unit(&unit).await {
                tracing::warn!(unit, "stopping it: {}", in_one_line(&error));
            }
        }
    }

    /// Clears the ledger, then tells: who hears of the end may send the next order at once.
    async fn conclude(&self, operation: &Operation, finding: Finding, failure: Option<Failure>) {
        let finding = operation.redactor.finding(finding);
        let failure = failure.map(|failure| operation.redactor.failure(failure));
        let mut state = self.state.lock().await;
        let over = Content { term: state.ledger.content.term.clone(), under_way: None };
        if let Err(error) = state.ledger.put(&*self.host, over).await {
            tracing::error!("{}", in_one_line(&error));
        }
        let causes = failure.as_ref().map(|failure| failure.causes.join(": ")).unwrap_or_default();
        let ended = Deed::Ended {
            operation: operation.begun.operation.clone(),
            holds: finding.is_satisfied(),
            why: audit::text(&operation.redactor, &causes),
        };
        state.audit.note(&*self.host, ended).await;
        tracing::info!(operation = %operation.begun.operation, holds = finding.is_satisfied(), causes, "ended");
        operation.end(finding, failure);
    }

    /// The one place where goals are checked.
    async fn check_one(&self, goal: &Goal) -> Finding {
        let check = async { (self.goals)(goal).check(&*self.host).await };
        tokio::select! {
            biased;
            checked = AssertUnwindSafe(check).catch_unwind() => match checked {
                Ok(Ok(finding)) => finding,
                Ok(Err(error)) => Finding::Unknown { why: in_one_line(&error) },
                Err(panic) => Finding::Unknown { why: failure::panicked(&*panic) },
            },
            () = self.host.pause(CHECK_DEADLINE) => {
                let seconds = CHECK_DEADLINE.as_secs();
                Finding::Unknown { why: format!("the check did not end within {seconds} s") }
            }
        }
    }
}

/// The latest operation, where the order names it; otherwise the node is busy with it.
fn attachable(latest: Arc<Operation>, order: &Order) -> Result<Arc<Operation>, Refusal> {
    let Begun { operation, goal, .. } = &latest.begun;
    if *operation != order.operation {
        return Err(Refusal::Busy { operation: operation.clone(), goal: goal.id() });
    }
    if goal.id() != order.goal.id() {
        let (old, new) = (goal.id(), order.goal.id());
        let why = format!("operation {operation} is for {old}: send {new} under an id of its own");
        return Err(Refusal::Invalid(why));
    }
    Ok(latest)
}

#[cfg(test)]
mod tests;
