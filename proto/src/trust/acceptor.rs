//! Takes connections and completes their handshakes, so that a service sees none but those whose
//! peer is known. tonic's own acceptor can neither swap certificates nor limit handshakes.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::Stream;
use rustls::{CommonState, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::certificate::{Seen, read_leaf};
use super::complaints::Complaints;
use super::crowd::{Crowd, Place};
use super::error::TrustError;
use super::guests::{GuestSeat, Guests};
use super::identity::Identity;
use super::peer::{ChannelBinding, Peer};
use super::tls::ALPN;

/// Longest handshake. On a slow link with loss one takes about two seconds.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest wait for the first bytes of HTTP/2 after it: what follows them is its own to time.
const GREETING: Duration = Duration::from_secs(10);
/// Its preface, and the head of the settings.
const GREETING_BYTES: usize = 24 + 9;
/// Connections that wait with the kernel, which allows as many by default.
const UNSEEN: u32 = 4_096;
/// Connections that the service did not take up yet.
const WAITING: usize = 16;
/// After a failed accept, which is nearly always a lack of descriptors, where nobody can make room:
/// trying at once would burn a processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Peer,
    greeting: Option<Greeting>,
    _seat: GuestSeat,
}

/// What a client still has to say before it counts as one.
#[derive(Debug)]
struct Greeting {
    left: usize,
    late: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TlsStream<TcpStream>, peer: Peer, seat: GuestSeat) -> Self {
        let greeting = Greeting { left: GREETING_BYTES, late: Box::pin(sleep(GREETING)) };
        Self { stream, peer, greeting: Some(greeting), _seat: seat }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Listens there, with room for a crowd that has not been looked at: whoever finds none tries again only
/// after a second.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A service that starts anew finds connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(UNSEEN)
}

/// Connections as they complete, each with the configuration that is current when it arrives.
/// Never ends and gives no error: what goes wrong with one connection is logged. Dropping the
/// stream closes the listener.
pub fn incoming(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
) -> impl Stream<Item = io::Result<Connection>> {
    incoming_within(listener, config, Room::default())
}

/// As [`incoming`], with room for more or fewer.
pub fn incoming_within(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    room: Room,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(accept(listener, config, room, sender));
    ReceiverStream::new(receiver)
}

/// How many a listener has room for. Both together need as many descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// At once. Whoever is too many takes the place of the oldest.
    pub handshakes: usize,
    /// Open at once, handshakes apart.
    pub connections: usize,
}

impl Default for Room {
    /// Far above what one coordinator needs of an agent.
    fn default() -> Self {
        Self { handshakes: 64, connections: 256 }
    }
}

/// What all handshakes of a listener share.
#[derive(Debug)]
struct Lobby {
    crowd: Mutex<Crowd>,
    guests: Guests,
    complaints: Complaints,
    sender: mpsc::Sender<io::Result<Connection>>,
}

async fn accept(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    room: Room,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let lobby = Arc::new(Lobby {
        crowd: Mutex::new(Crowd::of(room.handshakes)),
        guests: Guests::of(room.connections),
        complaints: Complaints::default(),
        sender,
    });
    loop {
        let accepted = tokio::select! {
            () = lobby.sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                let acceptor = TlsAcceptor::from(config.load_full());
                let place = lobby.crowd().admit(address.ip());
                tokio::spawn(welcome(socket, address, acceptor, Arc::clone(&lobby), place));
            }
            Err(error) => {
                lobby.complaints.warn(&format_args!("taking a connection: {error}"));
                if lobby.crowd().shed() {
                    // That one's socket is closed when we are next.
                    yield_now().await;
                } else {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn welcome(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    lobby: Arc<Lobby>,
    mut place: Place,
) {
    let refused = |reason: &dyn Display| {
        let line = format_args!("connection of {address} refused: {reason}");
        lobby.complaints.warn(&line);
    };
    let shaken = tokio::select! {
        shaken = timeout(HANDSHAKE, handshake(socket, address, &acceptor)) => Some(shaken),
        _ = &mut place.lost => None,
    };
    lobby.crowd().leave(&place);
    match shaken {
        Some(Ok(Ok((stream, peer)))) => match lobby.guests.seat(&peer) {
            Ok(seat) => {
                // The receiver is gone when the service shuts down.
                drop(lobby.sender.send(Ok(Connection::new(stream, peer, seat))).await);
            }
            Err(full) => refused(&full),
        },
        Some(Ok(Err(error))) => match TrustError::within(&error) {
            Some(own) => refused(own),
            None => refused(&error),
        },
        Some(Err(_)) => refused(&"no handshake in time"),
        None => refused(&"too many handshakes at once"),
    }
}

impl Lobby {
    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        // No code that can panic runs under the lock.
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handshake(
    socket: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
) -> io::Result<(TlsStream<TcpStream>, Peer)> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let (_, tls) = stream.get_ref();
    let binding = ChannelBinding::of(tls).map_err(io::Error::other)?;
    let (identity, seen) = identity(tls)?.unzip();
    let peer = Peer { identity, seen, address, binding };
    if tls.alpn_protocol() != Some(ALPN) {
        return Err(io::Error::other("the client does not speak HTTP/2"));
    }
    Ok((stream, peer))
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(greeting) = &mut self.greeting {
            greeting.left = greeting.left.saturating_sub(buffer.filled().len() - before);
            if greeting.left == 0 {
                self.greeting = None;
            } else if greeting.late.as_mut().poll(cx).is_ready() {
                let why = "the client says nothing";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        read
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
