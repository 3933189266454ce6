//! From an enrolled identity to a listening agent, and to its orderly end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use quorate_proto::trust::{Bounds, Connection, TrustError, incoming, listen};
use sd_notify::NotifyState;
use tokio::sync::oneshot;
use tonic::service::Routes;

use crate::daemon::{tell_systemd, until_stopped};
use crate::executor::{Execute, OverSocket, SOCKET};
use crate::host::Host;
use crate::identity::{NodeIdentity, NodeIdentityError};
use crate::server;
use crate::settings::Settings;
use crate::trust::Trust;

/// Of one connection. One coordinator needs a few calls, and a few views of one operation; it waits half
/// a minute at most for an answer. What goes on after a day finds the agent again.
pub const BOUNDS: Bounds = Bounds {
    streams: 32,
    calls: 8,
    call: Duration::from_mins(1),
    connection: Duration::from_hours(24),
};
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
    #[error("listening at {0}: if another program has the port, change `listen` in the settings")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("waiting for signals")]
    Signal(#[source] io::Error),
    #[error("serving")]
    Transport(#[from] tonic::transport::Error),
}

/// Takes orders until SIGTERM or SIGINT. What the executor does for them goes on afterwards.
pub async fn serve(settings: &Settings, host: Arc<dyn Host>) -> Result<(), ServeError> {
    let folder = &settings.identity_folder;
    let identity = NodeIdentity::load(&*host, folder).await?;
    let identity = identity.ok_or_else(|| ServeError::NotEnrolled { folder: folder.clone() })?;
    let node = identity.node.clone();
    let executor: Arc<dyn Execute> = Arc::new(OverSocket::at(SOCKET));
    let trust = Trust::open(Arc::clone(&host), Arc::clone(&executor), folder, identity)?;
    let trust = Arc::new(trust);
    let stop = until_stopped().map_err(ServeError::Signal)?;
    let listener =
        listen(settings.listen).map_err(|error| ServeError::Listen(settings.listen, error))?;
    tracing::info!(%node, listen = %settings.listen, "takes orders");
    let service = server::service(executor, node, trust.access());
    let incoming = incoming(listener, trust.config());
    let services = Routes::new(service).add_service(crate::trust::service(trust));
    serve_until(stop, services, incoming, &*host).await
}

async fn serve_until(
    stop: impl Future<Output = ()>,
    services: Routes,
    incoming: impl Stream<Item = io::Result<Connection>>,
    host: &dyn Host,
) -> Result<(), ServeError> {
    let (farewell, told) = oneshot::channel::<()>();
    let told = async { told.await.unwrap_or_default() };
    let server = BOUNDS.server().add_routes(services);
    let mut serving = pin!(server.serve_with_incoming_shutdown(incoming, told));
    tell_systemd(&NotifyState::Ready);
    tokio::select! {
        served = &mut serving => return Ok(served?),
        () = stop => {}
    }
    tell_systemd(&NotifyState::Stopping);
    tracing::info!("stops; what the executor does goes on");
    farewell.send(()).ok();
    tokio::select! {
        biased;
        served = &mut serving => Ok(served?),
        () = host.pause(FAREWELL) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
