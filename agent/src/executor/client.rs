//! The front end's end of the socket: a connection for each call.
//!
//! A caller who leaves early frees nothing yet: the executor may be at it, or not even have come to it. So a call
//! counts as its operator's until the executor has closed the connection, and nobody can ask for more than it does.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use quorate_proto::trust::{Full, OperatorName, Seat, Seats};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy, sink};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::call::{Receipt, Request};
use super::{CALLS, Execute, FrameError, Replies, Reply, frame};
use crate::host::linux::socket;

/// In which an executor takes a call, one that systemd starts anew included. Less than coordinators
/// wait for an answer, so that they are told why there is none.
const TAKEN: Duration = Duration::from_secs(4);
/// Calls of one operator at once. The executor gives each the same share of its time.
pub(super) const OF_ONE: usize = 16;

/// The executor does not answer, or no longer. What it had begun may well go on.
#[derive(Debug, thiserror::Error)]
pub enum Away {
    #[error(
        "the agent's executor cannot be reached at {0}; on the node, run `systemctl start \
         quorate-executor.socket`"
    )]
    Absent(String, #[source] io::Error),
    #[error(
        "the agent's executor took no call within {} s; on the node, see `systemctl status \
         quorate-executor` and `journalctl -u quorate-executor`", TAKEN.as_secs()
    )]
    Silent,
    #[error(
        "the agent's executor closed the connection: it was restarted, or refused the call; on the \
         node, see `journalctl -u quorate-executor`"
    )]
    Closed,
    #[error("the agent's executor has no place for another call: {0}; wait until some have ended")]
    Full(#[from] Full),
    #[error("the connection to the agent's executor broke; see `journalctl -u quorate-executor`")]
    Broken(#[from] FrameError),
}

/// An executor behind its socket.
#[derive(Debug)]
pub struct OverSocket {
    path: PathBuf,
    seats: Arc<Seats<OperatorName>>,
}

impl OverSocket {
    /// The executor whose socket this is. Nothing is connected yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seats: Seats::of(CALLS, OF_ONE) }
    }
}

impl Execute for OverSocket {
    fn call(&self, request: Request) -> Replies {
        let (path, seats) = (self.path.clone(), Arc::clone(&self.seats));
        let begun = async move {
            match seats.take(request.caller.operator.clone()) {
                Ok(seat) => {
                    let (told, replies) = mpsc::channel(1);
                    tokio::spawn(carry(path, request, told, seat));
                    ReceiverStream::new(replies).boxed()
                }
                Err(full) => stream::iter([Err(full.into())]).boxed(),
            }
        };
        stream::once(begun).flatten().boxed()
    }
}

/// One call from its connection until the executor has closed it.
async fn carry(
    path: PathBuf,
    request: Request,
    told: mpsc::Sender<Result<Reply, Away>>,
    _seat: Seat<OperatorName>,
) {
    let begun = timeout(TAKEN, begin(path, &request)).await;
    let mut connection = match begun.unwrap_or(Err(Away::Silent)) {
        Ok(connection) => connection,
        Err(away) => return told.send(Err(away)).await.unwrap_or_default(),
    };
    loop {
        let reply = tokio::select! {
            biased;
            () = told.closed() => break,
            reply = frame::read::<Reply>(&mut connection) => reply,
        };
        let reply = match reply {
            Ok(reply) => reply.ok_or(Away::Closed),
            Err(error) => Err(error.into()),
        };
        let last = reply.as_ref().map_or(true, Reply::is_last);
        if told.send(reply).await.is_err() || last {
            break;
        }
    }
    connection.shutdown().await.ok();
    copy(&mut connection, &mut sink()).await.ok();
}

async fn begin(
    path: PathBuf,
    request: &Request,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, Away> {
    let connected = socket::connect(&path).await;
    let mut connection =
        connected.map_err(|error| Away::Absent(path.display().to_string(), error))?;
    let sent = match frame::write(&mut connection, request).await {
        Err(error @ FrameError::Io(_)) => Err(error),
        // Nothing was sent, so nothing will come.
        written => Ok(written?),
    };
    match frame::read(&mut connection).await {
        Ok(Some(Receipt::Taken)) => {}
        // One that refuses the caller closes at once: sending may have failed for it.
        Ok(None) => return Err(Away::Closed),
        Err(FrameError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
            return Err(Away::Closed);
        }
        Err(error) => return Err(error.into()),
    }
    sent?;
    Ok(connection)
}
