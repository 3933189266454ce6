//! Who has how many connections to a listener: an operator whatever the role, or a source where nobody has
//! a certificate.

use std::net::IpAddr;
use std::sync::Arc;

use super::crowd::source;
use super::peer::Peer;
use super::policy::party;
use super::seats::{Full, Seat, Seats};

/// Of one operator, or of one source.
const OF_ONE: usize = 32;

/// Open connections.
#[derive(Debug)]
pub(super) struct Guests(Arc<Seats<Party>>);

/// A connection's place among the others, until it is dropped.
pub(super) type GuestSeat = Seat<Party>;

/// Whose connections are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Party {
    Known(String),
    Source(IpAddr),
}

impl Guests {
    /// So many connections at most.
    pub(super) fn of(connections: usize) -> Self {
        Self(Seats::of(connections, OF_ONE))
    }

    /// Seats one more connection of this peer.
    pub(super) fn seat(&self, peer: &Peer) -> Result<GuestSeat, Full> {
        self.0.take(match &peer.identity {
            Some(identity) => Party::Known(party(&identity.who)),
            None => Party::Source(source(peer.address.ip())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{ChannelBinding, Identity, OperatorName, Role, SiteId, Who};

    const ALL: usize = 256;

    fn operator(name: &str, role: Role) -> Peer {
        let name = OperatorName::try_from(name).unwrap();
        let site = SiteId("0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".parse().unwrap());
        let identity = Some(Identity { site, who: Who::Operator { name, role } });
        Peer { identity, ..stranger("10.0.0.9") }
    }

    fn stranger(address: &str) -> Peer {
        let address = (address.parse::<IpAddr>().unwrap(), 40_000).into();
        Peer { identity: None, seen: None, address, binding: ChannelBinding([0; 32]) }
    }

    #[test]
    fn an_operator_is_one_party_in_every_role() {
        let guests = Guests::of(ALL);
        let alice = operator("alice", Role::Viewer);
        let _seats: Vec<GuestSeat> = (0..OF_ONE).map(|_| guests.seat(&alice).unwrap()).collect();
        let as_admin = guests.seat(&operator("alice", Role::Admin));
        assert_eq!(as_admin.unwrap_err(), Full::OfOne(OF_ONE));
        guests.seat(&operator("bob", Role::Viewer)).unwrap();
    }

    #[test]
    fn where_nobody_is_known_a_source_is_a_party() {
        let guests = Guests::of(ALL);
        let of = |address: &str| guests.seat(&stranger(address));
        let _many: Vec<GuestSeat> =
            (0..OF_ONE).map(|n| of(&format!("2001:db8::{n}")).unwrap()).collect();
        assert_eq!(of("2001:db8::ffff").unwrap_err(), Full::OfOne(OF_ONE));
        of("2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn there_is_an_end_of_connections_for_all_together() {
        let guests = Guests::of(ALL);
        let of = |n: usize| guests.seat(&stranger(&format!("10.0.{}.{}", n / 250, n % 250)));
        let _seats: Vec<GuestSeat> = (0..ALL).map(|n| of(n).unwrap()).collect();
        assert_eq!(of(ALL).unwrap_err(), Full::All(ALL));
    }
}
