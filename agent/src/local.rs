//! A worker of the same process: what the executor has behind its socket, and tests have without one.

use std::error::Error;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use quorate_proto::wire::Cancellation;
use quorate_proto::{NodeName, Redactor, Refusal, Term, in_one_line};

use crate::caller::Caller;
use crate::executor::{Call, Execute, Replies, Reply, Request};
use crate::worker::{NotTaken, Worker};

/// Calls that a worker of this process carries out.
pub struct Local(pub Arc<Worker>);

impl Execute for Local {
    fn call(&self, request: Request) -> Replies {
        stream::once(answer(Arc::clone(&self.0), request)).flatten().boxed()
    }
}

async fn answer(worker: Arc<Worker>, request: Request) -> Replies {
    let Request { caller, call } = request;
    if let Err(invalid) = call.validate() {
        tracing::warn!(operator = %caller.operator, address = %caller.address, %invalid, "refused");
        // Looks are many: whoever may only look must not be able to fill the log.
        if !matches!(call, Call::Check { .. }) {
            let (asked, why) = (asked(&call), invalid.to_string());
            whole(async move { worker.refused(&caller, asked, &why).await }).await.ok();
        }
        return one(Reply::Refused(Refusal::Invalid(clean(&invalid))));
    }
    note(&caller, &call);
    match call {
        Call::Describe { node, claim } => one(describe(worker, caller, &node, claim).await),
        Call::Check { goals } => one(Reply::Findings(worker.check(&goals).await)),
        Call::Ensure(order) => {
            let begun = whole(async move { worker.ensure(&caller, *order).await }).await;
            match begun {
                Ok(Ok(events)) => events.map(|event| Ok(Reply::Event(event))).boxed(),
                Ok(Err(error)) => one(not_taken(error)),
                Err(failed) => one(failed),
            }
        }
        Call::Cancel(Cancellation { operation, term }) => {
            let cancel = async move { worker.cancel(&caller, &operation, &term).await };
            one(match whole(cancel).await {
                Ok(Ok(())) => Reply::Cancelled,
                Ok(Err(error)) => not_taken(error),
                Err(failed) => failed,
            })
        }
        Call::Kubeconfig => {
            one(match whole(async move { worker.kubeconfig(&caller).await }).await {
                Ok(Ok(kubeconfig)) => Reply::Kubeconfig(kubeconfig),
                Ok(Err(error)) => not_taken(error),
                Err(failed) => failed,
            })
        }
        Call::Keeps(own) => {
            one(match whole(async move { worker.keeps(&caller, own).await }).await {
                Ok(Ok(())) => Reply::WrittenDown,
                Ok(Err(error)) => failed(&error),
                Err(failed) => failed,
            })
        }
        Call::Audit { after } => {
            let lines = worker
                .audit(after)
                .await
                .map(|lines| Ok(lines.map_or_else(|error| failed(&error), Reply::AuditLines)));
            lines.chain(stream::iter([Ok(Reply::AuditEnd)])).boxed()
        }
    }
}

async fn describe(
    worker: Arc<Worker>,
    caller: Caller,
    node: &NodeName,
    claim: Option<Term>,
) -> Reply {
    if let Some(term) = claim {
        let of = Arc::clone(&worker);
        match whole(async move { of.claim(&caller, &term).await }).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return not_taken(error),
            Err(failed) => return failed,
        }
    }
    match worker.describe(node).await {
        Ok(facts) => Reply::Facts(Box::new(facts)),
        Err(error) => failed(&error),
    }
}

/// Does what changes the ledger or the audit log to its end, also for a caller that vanishes: what is
/// on the disk must not be ahead of what is in memory.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Reply> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| failed(&error))
}

/// Looks are many, and say nothing.
fn note(Caller { operator, address }: &Caller, call: &Call) {
    match call {
        Call::Ensure(order) => {
            let (operation, goal) = (&order.operation, order.goal.id());
            tracing::info!(%operator, %address, %operation, %goal, "orders");
        }
        Call::Cancel(wish) => {
            tracing::info!(%operator, %address, operation = %wish.operation, "cancels");
        }
        Call::Kubeconfig => tracing::info!(%operator, %address, "takes the admin kubeconfig"),
        Call::Audit { after } => tracing::info!(%operator, %address, after, "reads the audit log"),
        Call::Keeps(own) => tracing::info!(%operator, %address, ?own, "is about to be kept"),
        Call::Describe { .. } | Call::Check { .. } => {}
    }
}

/// As the audit log names it.
fn asked(call: &Call) -> &'static str {
    match call {
        Call::Describe { .. } => "a claim",
        Call::Check { .. } => "a check",
        Call::Ensure(_) => "an order",
        Call::Cancel(_) => "to cancel an operation",
        Call::Kubeconfig => "the admin kubeconfig",
        Call::Audit { .. } => "the audit log",
        Call::Keeps(_) => "a line of the audit log",
    }
}

fn one(reply: Reply) -> Replies {
    stream::iter([Ok(reply)]).boxed()
}

fn not_taken(error: NotTaken) -> Reply {
    match error {
        NotTaken::Refused(refusal) => Reply::Refused(refusal),
        NotTaken::Ledger(error) => failed(&error),
        NotTaken::Audit(error) => failed(&error),
        NotTaken::Host(error) => failed(&error),
    }
}

fn failed(error: &(dyn Error + 'static)) -> Reply {
    Reply::Failed { why: clean(error) }
}

/// What failed may name what nobody may read.
fn clean(error: &(dyn Error + 'static)) -> String {
    Redactor::default().text(&in_one_line(error))
}
