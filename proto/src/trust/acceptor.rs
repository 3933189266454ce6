//! Takes connections and completes their handshakes, so that a service sees none but those whose
//! peer is known. tonic's own acceptor can neither swap certificates nor limit handshakes.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::Stream;
use rustls::{CommonState, ConnectionCommon, ServerConfig, SideData};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::certificate::read_leaf;
use super::error::TrustError;
use super::identity::Identity;
use super::policy::Seen;
use super::tls::ALPN;

/// Longest handshake. On a slow link with loss one takes about two seconds.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at once; a fleet of 50 nodes enrolling together stays below.
const HANDSHAKES: usize = 64;
/// After a failed accept, which is nearly always a lack of descriptors: trying at once would burn
/// a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A value that both ends of one TLS connection know and nobody else (RFC 9266).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding(pub [u8; 32]);

impl ChannelBinding {
    pub(super) fn of<Side: SideData>(tls: &ConnectionCommon<Side>) -> Result<Self, rustls::Error> {
        let binding = tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None);
        binding.map(Self)
    }
}

/// Who is at the other end of a connection. A service finds it in its request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// From the verified certificate; `None` only where clients need none.
    pub identity: Option<Identity>,
    /// Of the same certificate, for those who ask again later.
    pub seen: Option<Seen>,
    pub address: SocketAddr,
    pub binding: ChannelBinding,
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Connections as they complete, each with the configuration that is current when it arrives.
/// Never ends and gives no error: what goes wrong with one connection is logged. Dropping the
/// stream closes the listener.
pub fn incoming(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(HANDSHAKES);
    tokio::spawn(accept(listener, config, sender));
    ReceiverStream::new(receiver)
}

async fn accept(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    // The semaphore is never closed, so this loop ends with the receiver.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                let acceptor = TlsAcceptor::from(config.load_full());
                tokio::spawn(welcome(socket, address, acceptor, sender.clone(), place));
            }
            Err(error) => {
                tracing::warn!(%error, "taking a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn welcome(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    sender: mpsc::Sender<io::Result<Connection>>,
    place: OwnedSemaphorePermit,
) {
    match timeout(HANDSHAKE, handshake(socket, address, &acceptor)).await {
        // The receiver is gone when the service shuts down.
        Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
        Ok(Err(error)) => {
            let own = TrustError::within(&error).map(ToString::to_string);
            let reason = own.unwrap_or_else(|| error.to_string());
            tracing::warn!(peer = %address, reason, "connection refused");
        }
        Err(_) => tracing::warn!(peer = %address, "connection refused: no handshake in time"),
    }
    drop(place);
}

async fn handshake(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
) -> io::Result<Connection> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let (_, tls) = stream.get_ref();
    let binding = ChannelBinding::of(tls).map_err(io::Error::other)?;
    let (identity, seen) = identity(tls)?.unzip();
    let peer = Peer { identity, seen, address, binding };
    if tls.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::other("the client does not speak HTTP/2"));
    }
    Ok(Connection { stream, peer })
}

fn identity(tls: &CommonState) -> io::Result<Option<(Identity, Seen)>> {
    let Some(leaf) = tls.peer_certificates().and_then(<[_]>::first) else { return Ok(None) };
    read_leaf(leaf).map(Some).map_err(io::Error::other)
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
