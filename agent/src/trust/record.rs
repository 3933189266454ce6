//! What this front end changes of its own is written down first, by the executor, whose the audit log is.

use futures_util::StreamExt as _;
use quorate_proto::audit::Own;

use crate::caller::Caller;
use crate::executor::{Away, Call, Execute, Reply, Request};

/// Nothing was written down, so nothing may be changed.
#[derive(Debug, thiserror::Error)]
pub enum NotRecorded {
    #[error("the agent's executor did not write it down: {0}")]
    Refused(String),
    #[error(transparent)]
    Away(#[from] Away),
}

/// Returns once the line is on the disk.
pub(super) async fn record(
    executor: &dyn Execute,
    caller: &Caller,
    own: Own,
) -> Result<(), NotRecorded> {
    let request = Request { caller: caller.clone(), call: Call::Keeps(own) };
    match executor.call(request).next().await {
        Some(Ok(Reply::WrittenDown)) => Ok(()),
        Some(Ok(Reply::Failed { why })) => Err(NotRecorded::Refused(why)),
        Some(Ok(Reply::Refused(refusal))) => Err(NotRecorded::Refused(refusal.to_string())),
        Some(Ok(_)) => Err(NotRecorded::Refused(OTHER.to_owned())),
        Some(Err(away)) => Err(away.into()),
        None => Err(Away::Closed.into()),
    }
}

const OTHER: &str = "it answered something else; see that both are of one version: systemctl restart \
                     quorate-executor quorate-agent";
