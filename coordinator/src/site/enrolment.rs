//! The enrolment listener, until it is no longer needed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use quorate_proto::NodeName;
use quorate_proto::trust::enrol::enrol_server::EnrolServer;
use quorate_proto::trust::{Bounds, Room, enrol_server_config, incoming_within};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::{Clock, EnrolService, Site, SiteError};

/// The listener's certificate lives for a day.
const RENEW: Duration = Duration::from_hours(8);
/// An honest claim has some hundred bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Of one connection: enough for one claim on a slow link.
const BOUNDS: Bounds = Bounds {
    streams: 4,
    calls: 1,
    // Claims are examined one after the other, each with a write that reaches the disk.
    call: Duration::from_secs(20),
    connection: Duration::from_mins(1),
};
/// A large site comes at once. Both stay below the 1,024 descriptors of a person's session.
const ROOM: Room = Room { handshakes: 400, connections: 400 };
/// How long answers under way may take once the listener ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// What happens while enrolment is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tiding {
    /// A claim came that a person has to approve. Told once for each node.
    Waits {
        node: NodeName,
        source: IpAddr,
    },
    Enrolled(NodeName),
}

/// Serves enrolment until `stop`, or until each of `awaited` is enrolled if any are named. Tells
/// of each node that waits for a person, and of each that enrols.
pub async fn serve_enrolment(
    site: Arc<Site>,
    listener: TcpListener,
    clock: Clock,
    mut awaited: BTreeSet<NodeName>,
    stop: impl Future<Output = ()>,
    tell: impl Fn(&Tiding),
) -> Result<(), SiteError> {
    let until_enrolled = !awaited.is_empty();
    let config = || {
        let credentials = site.service_credentials(clock())?;
        enrol_server_config(&credentials).map_err(SiteError::Trust)
    };
    let current = Arc::new(ArcSwap::from_pointee(config()?));
    let (sender, mut tidings) = mpsc::unbounded_channel();
    let service = EnrolService::new(Arc::clone(&site), Arc::clone(&clock), sender)?;
    let service = EnrolServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    let (end, ended) = oneshot::channel::<()>();
    let mut server =
        tokio::spawn(BOUNDS.server().add_service(service).serve_with_incoming_shutdown(
            incoming_within(listener, Arc::clone(&current), ROOM),
            async {
                ended.await.ok();
            },
        ));

    // Names that enrol from here on are told of; those that did before are looked up.
    let store = site.store()?;
    for node in awaited.clone() {
        if store.enrolled(&node).map_err(SiteError::Store)? {
            awaited.remove(&node);
        }
    }
    let mut told = BTreeSet::new();
    let mut renew = tokio::time::interval(RENEW);
    renew.tick().await;
    tokio::pin!(stop);
    while !(until_enrolled && awaited.is_empty()) {
        tokio::select! {
            () = &mut stop => break,
            _ = renew.tick() => current.store(Arc::new(config()?)),
            Some(tiding) = tidings.recv() => match &tiding {
                Tiding::Waits { node, .. } => {
                    if told.insert(node.clone()) {
                        tell(&tiding);
                    }
                }
                Tiding::Enrolled(node) => {
                    tell(&tiding);
                    told.remove(node);
                    awaited.remove(node);
                }
            },
            // It ends by itself only if it cannot go on.
            result = &mut server => return served(result),
        }
    }
    end.send(()).ok();
    match tokio::time::timeout(FAREWELL, &mut server).await {
        Ok(result) => served(result),
        Err(_) => {
            server.abort();
            Ok(())
        }
    }
}

fn served(
    result: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>,
) -> Result<(), SiteError> {
    // A join error is a panic of ours, which was reported, or the abort above.
    result.unwrap_or(Ok(())).map_err(SiteError::Serve)
}
