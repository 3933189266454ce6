//! A worker of the same process: what the executor has behind its socket, and tests have without one.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use quorate_proto::wire::Cancellation;
use quorate_proto::{NodeName, Refusal, Term, in_one_line};

use super::call::{Call, Caller, Reply, Request};
use super::{Execute, Replies};
use crate::host::HostError;
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
        return one(Reply::Refused(Refusal::Invalid(invalid.to_string())));
    }
    note(&caller, &call);
    match call {
        Call::Describe { node, claim } => one(describe(worker, &node, claim).await),
        Call::Check { goals } => one(Reply::Findings(worker.check(&goals).await)),
        Call::Ensure(order) => {
            let begun = whole(async move { worker.ensure(*order).await }).await;
            match begun {
                Ok(Ok(events)) => events.map(|event| Ok(Reply::Event(event))).boxed(),
                Ok(Err(error)) => one(not_taken(error)),
                Err(failed) => one(failed),
            }
        }
        Call::Cancel(Cancellation { operation, term }) => {
            let cancelled = whole(async move { worker.cancel(&operation, &term).await }).await;
            one(match cancelled {
                Ok(Ok(())) => Reply::Cancelled,
                Ok(Err(error)) => not_taken(error),
                Err(failed) => failed,
            })
        }
        Call::Kubeconfig => one(match worker.kubeconfig().await {
            Ok(kubeconfig) => Reply::Kubeconfig(kubeconfig),
            Err(error) => failed(&error),
        }),
    }
}

async fn describe(worker: Arc<Worker>, node: &NodeName, claim: Option<Term>) -> Reply {
    if let Some(term) = claim {
        let of = Arc::clone(&worker);
        match whole(async move { of.claim(&term).await }).await {
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

/// Does what changes the ledger to its end, also for a caller that vanishes: the ledger on the disk
/// must not be ahead of the one in memory.
async fn whole<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Reply> {
    let done = tokio::spawn(work).await;
    done.map_err(|error| Reply::Failed { why: in_one_line(&error) })
}

/// Looks are many, and say nothing.
fn note(Caller { operator, address }: &Caller, call: &Call) {
    match call {
        Call::Ensure(order) => {
            let (operation, goal) = (&order.operation, order.goal.id());
            tracing::info!(%operator, %address, %operation, goal, "orders");
        }
        Call::Cancel(wish) => {
            tracing::info!(%operator, %address, operation = %wish.operation, "cancels");
        }
        Call::Kubeconfig => tracing::info!(%operator, %address, "takes the admin kubeconfig"),
        Call::Describe { .. } | Call::Check { .. } => {}
    }
}

fn one(reply: Reply) -> Replies {
    stream::iter([Ok(reply)]).boxed()
}

fn not_taken(error: NotTaken) -> Reply {
    match error {
        NotTaken::Refused(refusal) => Reply::Refused(refusal),
        NotTaken::Ledger(error) => Reply::Failed { why: in_one_line(&error) },
    }
}

fn failed(error: &HostError) -> Reply {
    Reply::Failed { why: in_one_line(error) }
}
