//! The executor from its start to its end: root, no network, and one caller.

use std::io;
use std::sync::Arc;

use sd_notify::NotifyState;

use crate::daemon::{tell_systemd, until_stopped};
use crate::executor;
use crate::goal;
use crate::host::Host;
use crate::host::linux::socket::{self, Admission, AdmissionError};
use crate::local::Local;
use crate::settings::Settings;
use crate::worker::{OpenError, Worker};

/// Why the executor does not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    #[error(
        "standard input is not the executor's socket: systemd starts the executor, with \
         quorate-executor.socket, when the agent calls it"
    )]
    Socket(#[source] io::Error),
    #[error("finding out who may call")]
    Admission(#[from] AdmissionError),
    #[error("taking up what an earlier executor left")]
    Open(#[from] OpenError),
    #[error("waiting for signals")]
    Signal(#[source] io::Error),
}

/// Carries out calls until SIGTERM or SIGINT. What systemd runs for an operation goes on afterwards.
pub async fn execute(settings: &Settings, host: Arc<dyn Host>) -> Result<(), ExecuteError> {
    let listener = socket::inherited().map_err(ExecuteError::Socket)?;
    let admission = Admission::beside_this_unit(executor::USER, executor::UNIT)?;
    let worker = Worker::open(host, goal::of, &settings.state_folder).await?;
    let stopped = until_stopped().map_err(ExecuteError::Signal)?;
    tell_systemd(&NotifyState::Ready);
    tracing::info!("takes calls of {}", executor::UNIT);
    tokio::select! {
        () = executor::listen(listener, admission, Arc::new(Local(worker))) => {}
        () = stopped => {}
    }
    tell_systemd(&NotifyState::Stopping);
    tracing::info!("stops; what systemd runs for an operation goes on");
    Ok(())
}
