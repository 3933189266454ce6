//! Documents on a stream: the length in four bytes, the highest first, and so many bytes of JSON.

use std::io;

use quorate_proto::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest document. A manifest may have 3 MiB, which escapes at worst double, and the other goals of
/// its node come with it.
pub(super) const LARGEST: u32 = 8 * 1024 * 1024;

/// Why a document did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a document of {0} bytes, and {LARGEST} are the most")]
    Oversize(u64),
    #[error("the connection ended within a document")]
    Half,
    #[error(
        "a document is not understood: front end and executor have to be of one version \
         (`systemctl restart quorate-executor quorate-agent`)"
    )]
    Json(#[source] serde_json::Error),
    #[error("a document is not text")]
    Text,
    #[error("the socket failed")]
    Io(#[from] io::Error),
}

/// The next document; `None` where the connection ended before it.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
) -> Result<Option<T>, FrameError> {
    let mut length = Vec::with_capacity(4);
    (&mut *from).take(4).read_to_end(&mut length).await?;
    let length = match <[u8; 4]>::try_from(length.as_slice()) {
        Ok(length) => u32::from_be_bytes(length),
        Err(_) if length.is_empty() => return Ok(None),
        Err(_) => return Err(FrameError::Half),
    };
    if length > LARGEST {
        return Err(FrameError::Oversize(length.into()));
    }
    // It grows with what comes: a length alone costs nothing.
    let mut bytes = Vec::new();
    let read = from.take(length.into()).read_to_end(&mut bytes).await?;
    // It may hold secrets.
    let text = String::from_utf8(bytes).ok().map(Secret::new).ok_or(FrameError::Text)?;
    if u32::try_from(read) != Ok(length) {
        return Err(FrameError::Half);
    }
    serde_json::from_str(text.expose()).map(Some).map_err(FrameError::Json)
}

/// Sends a document.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    document: &impl Serialize,
) -> Result<(), FrameError> {
    let text = Secret::new(serde_json::to_string(document).map_err(FrameError::Json)?);
    let bytes = text.expose().as_bytes();
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LARGEST);
    let oversize = || FrameError::Oversize(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    to.write_all(&length.ok_or_else(oversize)?.to_be_bytes()).await?;
    to.write_all(bytes).await?;
    Ok(to.flush().await?)
}
