//! Configuration files that are quorate's whole: what is in them otherwise is overwritten.

use quorate_proto::Drift;

use crate::host::{Files, HostError};

/// How such a file differs from its text, if it does; `summary` says in short what it has to say.
pub(super) async fn drift(
    host: &dyn Files,
    path: &str,
    text: &str,
    summary: impl Into<String>,
) -> Result<Option<Drift>, HostError> {
    Ok(match host.text(path).await? {
        Some(found) if found == text => None,
        Some(_) => Some(Drift::new(path, "content differs", summary)),
        None => Some(Drift::new(path, "missing", summary)),
    })
}

/// Writes such a file where it differs, for everyone to read.
pub(super) async fn put(host: &dyn Files, path: &str, text: &str) -> Result<(), HostError> {
    if host.text(path).await?.as_deref() == Some(text) {
        return Ok(());
    }
    host.write(path, text.as_bytes(), 0o644).await
}
