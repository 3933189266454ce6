//! From an enrolled identity to a listening agent, and to its orderly end.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate_proto::trust::{self, TrustError};
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;

use crate::failure;
use crate::goal;
use crate::host::Host;
use crate::identity::{NodeIdentity, NodeIdentityError};
use crate::server;
use crate::settings::Settings;
use crate::worker::{OpenError, Worker};

/// Far above what one coordinator needs: a few views of one operation.
const STREAMS: u32 = 64;
/// A coordinator that vanished is noticed after both, so that its streams do not pile up.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// After SIGTERM, for the streams that can still end by themselves.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the agent does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(
        "this node is not enrolled ({folder} holds no identity): run `quorate node token NAME` at \
         the coordinator, and `quorate-agent enrol --coordinator ADDRESS:7444` here"
    )]
    NotEnrolled { folder: String },
    #[error("taking up this node's identity")]
    Identity(#[from] NodeIdentityError),
    #[error("preparing TLS with this node's certificate")]
    Trust(#[from] TrustError),
    #[error("taking up what an earlier agent left")]
    Open(#[from] OpenError),
    #[error("listening at {0}: if another program has the port, change `listen` in the settings")]
    Listen(SocketAddr, #[source] std::io::Error),
    #[error("waiting for signals")]
    Signal(#[source] std::io::Error),
    #[error("serving")]
    Transport(#[from] tonic::transport::Error),
}

/// Takes orders until SIGTERM or SIGINT. What systemd runs for an operation goes on afterwards.
pub async fn serve(settings: &Settings, host: Arc<dyn Host>) -> Result<(), ServeError> {
    let folder = &settings.identity_folder;
    let identity = NodeIdentity::load(&*host, folder).await?;
    let identity = identity.ok_or_else(|| ServeError::NotEnrolled { folder: folder.clone() })?;
    let NodeIdentity { site, node, credentials, .. } = identity;
    let config = trust::server_config(&credentials)?;
    let worker =
        Worker::open(node.clone(), Arc::clone(&host), goal::of, &settings.state_folder).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    let listener = TcpListener::bind(settings.listen).await;
    let listener = listener.map_err(|error| ServeError::Listen(settings.listen, error))?;
    let incoming = trust::incoming(listener, Arc::new(ArcSwap::from_pointee(config)));

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_ANSWER))
        .add_service(server::service(worker, site))
        .serve_with_incoming_shutdown(incoming, async {
            stopped.await.ok();
        });
    let mut serving = pin!(serving.into_future());
    tell_systemd(&NotifyState::Ready);
    tracing::info!(%node, listen = %settings.listen, "takes orders");
    tokio::select! {
        served = &mut serving => return Ok(served?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tell_systemd(&NotifyState::Stopping);
    tracing::info!("stops; what systemd runs for an operation goes on");
    stop.send(()).ok();
    tokio::select! {
        served = &mut serving => Ok(served?),
        () = host.pause(FAREWELL) => Ok(()),
    }
}

/// Does nothing where systemd did not start the agent.
fn tell_systemd(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!("{}", failure::line(&error));
    }
}
