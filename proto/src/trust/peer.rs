//! Who is at the other end of a connection.

use std::net::SocketAddr;

use rustls::{ConnectionCommon, SideData};

use super::certificate::Seen;
use super::identity::Identity;

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
