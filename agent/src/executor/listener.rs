//! The executor's end of the socket: who may call, one request a connection, in time.
//!
//! Whatever else comes closes the connection with a warning; nothing is answered to a stranger.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use quorate_proto::in_one_line;
use quorate_proto::trust::Complaints;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::call::{Receipt, Reply, Request};
use super::client::Away;
use super::{CALLS, Execute, FrameError, frame};
use crate::host::linux::socket::Admission;

/// In which a request must be there. The front end has it whole when it connects.
const REQUEST: Duration = Duration::from_secs(5);
/// After a failed accept, which is nearly always a lack of descriptors: trying at once would burn a
/// processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a connection was closed before its call had its answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("no request within {} s", REQUEST.as_secs())]
    Late,
    #[error("more than one request")]
    Second,
    #[error(transparent)]
    Away(#[from] Away),
}

/// Takes calls for ever.
pub async fn listen(listener: UnixListener, admission: Admission, executor: Arc<dyn Execute>) {
    let places = Arc::new(Semaphore::new(CALLS));
    let complaints = Arc::new(Complaints::default());
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                complaints.warn(&format_args!("taking a call: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = admission.admit(&stream) {
            complaints.warn(&format_args!("call refused: {}", in_one_line(&error)));
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            complaints.warn(&format_args!("call refused: {CALLS} are under way"));
            continue;
        };
        let (executor, complaints) = (Arc::clone(&executor), Arc::clone(&complaints));
        tokio::spawn(async move {
            if let Err(error) = attend(stream, &*executor).await {
                complaints.warn(&format_args!("call closed: {}", in_one_line(&error)));
            }
            drop(place);
        });
    }
}

/// Answers the one call of a connection. Where the caller is gone it ends after the first reply: what was begun for
/// that goes on with the disk and with etcd in any case, and the front end counts it for as long as we are here.
pub async fn attend(
    stream: impl AsyncRead + AsyncWrite,
    executor: &dyn Execute,
) -> Result<(), CallError> {
    match converse(stream, executor).await {
        Err(CallError::Frame(FrameError::Io(error)))
            if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Ok(())
        }
        conversed => conversed,
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite,
    executor: &dyn Execute,
) -> Result<(), CallError> {
    let (mut from, mut to) = tokio::io::split(stream);
    let read = timeout(REQUEST, frame::read::<Request>(&mut from)).await;
    let Some(request) = read.map_err(|_elapsed| CallError::Late)?? else { return Ok(()) };
    frame::write(&mut to, &Receipt::Taken).await?;
    let mut replies = executor.call(request);
    let Some(first) = replies.next().await else { return Ok(()) };
    tell(&mut to, first?).await?;
    let mut more = [0; 1];
    loop {
        tokio::select! {
            biased;
            read = from.read(&mut more) => return match read {
                Ok(0) => Ok(()),
                Ok(_) => Err(CallError::Second),
                Err(error) => Err(FrameError::from(error).into()),
            },
            reply = replies.next() => match reply.transpose()? {
                Some(reply) => tell(&mut to, reply).await?,
                None => return Ok(()),
            },
        }
    }
}

/// A reply that is too large is an answer, too.
async fn tell(to: &mut (impl AsyncWrite + Unpin), reply: Reply) -> Result<(), FrameError> {
    match frame::write(to, &reply).await {
        Err(error @ FrameError::Oversize(_)) => {
            let why = in_one_line(&error);
            frame::write(to, &Reply::Failed { why }).await
        }
        told => told,
    }
}
