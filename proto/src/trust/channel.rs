//! Dials: a node that is to take orders, or the coordinator where this node is to enrol.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::certificate::{KeyDigest, Leaf};
use super::credentials::Credentials;
use super::error::TrustError;
use super::identity::{Identity, SiteId, Who};
use super::peer::ChannelBinding;
use super::tls::{ALPN, client_config, client_config_of, enrol_client_config};
use super::verifier::NodeKeys;
use crate::id::NodeName;

/// Longest wait for TCP. A kernel answers however busy its machine is, and one lost SYN costs a second;
/// with the second one lost the address counts as dead.
const CONNECT: Duration = Duration::from_millis(2500);
/// Longest wait for TLS and the first bytes, once TCP is there: a busy agent may take its time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A peer that vanished without a word is noticed after both.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// A channel to one node, whatever answers at its address. Connects at the first call, and again
/// after a loss, each time with the newest credentials. [`super::explain()`] tells why a call failed.
pub fn node_channel(
    address: SocketAddr,
    node: &NodeName,
    site: &SiteId,
    credentials: Arc<ArcSwap<Credentials>>,
) -> Result<Channel, TrustError> {
    node_channel_of(address, node, site, credentials, || Ok(NodeKeys::default()))
}

/// As [`node_channel`], to a node that is known by its keys, which are asked for at each connection:
/// any other is an old snapshot or a copy of its disk.
pub fn node_channel_of(
    address: SocketAddr,
    node: &NodeName,
    site: &SiteId,
    credentials: Arc<ArcSwap<Credentials>>,
    keys: impl Fn() -> Result<NodeKeys, TrustError> + Send + 'static,
) -> Result<Channel, TrustError> {
    // What is wrong with our own side is said now, not at the first call.
    client_config(&credentials.load(), *site, node)?;
    let (node, site) = (node.clone(), *site);
    let connector = tower::service_fn(move |_| {
        let (node, credentials, keys) = (node.clone(), Arc::clone(&credentials), keys());
        async move {
            let config = client_config_of(&credentials.load(), site, &node, keys?)?;
            let name = Identity { site, who: Who::Node(node) }.dns_name();
            dial(address, &address.to_string(), name, config).await.map(TokioIo::new)
        }
    });
    Ok(endpoint().connect_with_connector_lazy(connector))
}

/// A channel to the coordinator whose root is pinned: over one connection, already up, because a
/// claim is bound to it. Also says which site that coordinator is of.
pub async fn enrol_channel(
    address: &str,
    pin: KeyDigest,
) -> Result<(Channel, ChannelBinding, SiteId), TrustError> {
    let name = "coordinator.quorate.internal".to_owned();
    let stream = dial(address, address, name, enrol_client_config(pin)?).await?;
    let (_, tls) = stream.get_ref().get_ref();
    let binding = ChannelBinding::of(tls).map_err(TrustError::Tls)?;
    let leaf =
        tls.peer_certificates().and_then(<[_]>::first).ok_or(TrustError::OtherCoordinator)?;
    let site = Leaf::read(leaf)?.identity.site;

    Ok((over(stream), binding, site))
}

/// A channel over one connection that is up, and over no other: what is said on it is bound to it.
pub(super) fn over(stream: BufReader<TlsStream<TcpStream>>) -> Channel {
    let once = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        let lost = || io::Error::new(io::ErrorKind::NotConnected, "the connection was lost");
        std::future::ready(stream.map(TokioIo::new).ok_or_else(lost))
    });
    endpoint().connect_with_connector_lazy(connector)
}

/// The address of an endpoint is never looked at: connectors know whom they dial.
fn endpoint() -> Endpoint {
    Endpoint::from_static("http://quorate.internal")
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_ANSWER)
        .keep_alive_while_idle(true)
}

/// TCP, TLS, and the peer's first bytes: only these show that it took our certificate, because TLS
/// 1.3 lets a client finish first. HTTP/2 has the server send its settings unasked.
pub(super) async fn dial(
    to: impl ToSocketAddrs,
    address: &str,
    name: String,
    config: ClientConfig,
) -> Result<BufReader<TlsStream<TcpStream>>, TrustError> {
    let unreachable =
        |source| TrustError::Unreachable { address: address.to_owned(), source: Arc::new(source) };
    let socket = timeout(CONNECT, TcpStream::connect(to)).await;
    let socket = socket.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let socket = socket.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;

    let address = || address.to_owned();
    let Ok(handshake) = timeout(HANDSHAKE, handshake(socket, name, config)).await else {
        return Err(TrustError::Stalled { address: address(), seconds: HANDSHAKE.as_secs() });
    };
    handshake.map_err(|error| {
        // Our verifier's own reason says more than the library round it.
        let broken =
            |source| TrustError::Handshake { address: address(), source: Arc::new(source) };
        TrustError::within(&error).cloned().unwrap_or_else(|| broken(error))
    })
}

async fn handshake(
    socket: TcpStream,
    name: String,
    config: ClientConfig,
) -> io::Result<BufReader<TlsStream<TcpStream>>> {
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::other("the peer does not speak HTTP/2"));
    }
    let mut stream = BufReader::new(stream);
    if stream.fill_buf().await?.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::net::TcpSocket;
    use tokio::time::Instant;

    use super::*;
    use crate::trust::{OperatorName, Role, Roots};

    /// Dials an address; how long that took, on a clock that goes on when all wait.
    async fn dialled(address: SocketAddr) -> (TrustError, Duration) {
        let roots = Roots::create(SiteId::random(), SystemTime::now()).unwrap();
        let (operator, node) =
            (OperatorName::try_from("alice").unwrap(), "cp-1".try_into().unwrap());
        let life = Duration::from_hours(1);
        let credentials = roots.operator(&operator, Role::Viewer, life, SystemTime::now()).unwrap();
        let config = client_config(&credentials, roots.site(), &node).unwrap();
        let began = Instant::now();
        let error = dial(address, "there", "cp-1".to_owned(), config).await.unwrap_err();
        (error, began.elapsed())
    }

    /// A listener that accepts nothing and has room for one connection.
    fn listener() -> (tokio::net::TcpListener, SocketAddr) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_syn_is_unreachable_within_3_seconds() {
        let (_listener, address) = listener();
        // With this one the kernel's queue is full, and it drops what comes next.
        let _first = std::net::TcpStream::connect(address).unwrap();
        let (error, took) = dialled(address).await;
        assert!(matches!(error, TrustError::Unreachable { .. }), "{error}");
        assert!(took > Duration::from_secs(1) && took < Duration::from_secs(3), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_tls_has_time_beyond_the_connect_limit() {
        let (_listener, address) = listener();
        let (error, took) = dialled(address).await;
        assert!(matches!(error, TrustError::Stalled { .. }), "{error}");
        assert!(took >= HANDSHAKE, "{took:?}");
    }
}
