//! What both daemons have in common: they end when systemd asks, and tell it how they are.

use quorate_proto::in_one_line;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// Returns at SIGTERM or SIGINT. Both are caught from the call on, not from the first wait.
pub fn until_stopped() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Taken over and not asked: who means it to reload something must not end it.
    let hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let _hangup = hangup;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Does nothing where systemd did not start the daemon.
pub fn tell_systemd(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!("{}", in_one_line(&error));
    }
}
