//! The front end's end of the socket: a connection for each call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::call::{Receipt, Request};
use super::{Execute, FrameError, Replies, Reply, frame};
use crate::host::linux::socket;

/// In which an executor takes a call, one that systemd starts anew included. Less than coordinators
/// wait for an answer, so that they are told why there is none.
const TAKEN: Duration = Duration::from_secs(4);

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
    #[error("the connection to the agent's executor broke; see `journalctl -u quorate-executor`")]
    Broken(#[from] FrameError),
}

/// An executor behind its socket.
#[derive(Debug)]
pub struct OverSocket(PathBuf);

impl OverSocket {
    /// The executor whose socket this is. Nothing is connected yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Execute for OverSocket {
    fn call(&self, request: Request) -> Replies {
        let path = self.0.clone();
        let begun = async move {
            match timeout(TAKEN, begin(path, &request)).await {
                Ok(Ok(connection)) => replies(connection),
                Ok(Err(away)) => stream::iter([Err(away)]).boxed(),
                Err(_) => stream::iter([Err(Away::Silent)]).boxed(),
            }
        };
        stream::once(begun).flatten().boxed()
    }
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

fn replies(connection: impl AsyncRead + Unpin + Send + 'static) -> Replies {
    let next = |connection: Option<_>| async move {
        let mut connection = connection?;
        Some(match frame::read::<Reply>(&mut connection).await {
            Ok(Some(reply)) if reply.is_last() => (Ok(reply), None),
            Ok(Some(reply)) => (Ok(reply), Some(connection)),
            Ok(None) => (Err(Away::Closed), None),
            Err(error) => (Err(error.into()), None),
        })
    };
    stream::unfold(Some(connection), next).boxed()
}
