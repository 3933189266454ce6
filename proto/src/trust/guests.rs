//! Those who were let in: how many of their connections may be open, in all and of one party.
//!
//! One party cannot fill the house. Here the newcomer goes, and not the oldest: who is in may be at work.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::crowd::source;
use super::peer::Peer;
use super::policy::party;

/// Of one operator, or of one source where nobody has a certificate.
const OF_ONE: usize = 32;

/// Open connections.
#[derive(Debug)]
pub(super) struct Guests {
    seats: usize,
    open: Mutex<HashMap<Party, usize>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Party {
    /// An operator whatever the role.
    Known(String),
    Source(IpAddr),
}

/// A connection's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    party: Party,
    guests: Arc<Guests>,
}

/// The house is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    #[error("{0} are open already")]
    All(usize),
    #[error("{OF_ONE} of the same party are open already")]
    OfOne,
}

impl Guests {
    /// A house of so many seats.
    pub(super) fn of(seats: usize) -> Arc<Self> {
        Arc::new(Self { seats, open: Mutex::default() })
    }

    /// Seats one more connection of this peer.
    pub(super) fn seat(self: &Arc<Self>, peer: &Peer) -> Result<Seat, Full> {
        let party = match &peer.identity {
            Some(identity) => Party::Known(party(&identity.who)),
            None => Party::Source(source(peer.address.ip())),
        };
        let mut open = self.open();
        if open.values().sum::<usize>() >= self.seats {
            return Err(Full::All(self.seats));
        }
        let of_one = open.entry(party.clone()).or_default();
        if *of_one >= OF_ONE {
            return Err(Full::OfOne);
        }
        *of_one += 1;
        Ok(Seat { party, guests: Arc::clone(self) })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Party, usize>> {
        // No code that can panic runs under the lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.guests.open();
        if let Some(count) = open.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.party);
            }
        }
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
    fn one_party_does_not_fill_the_house() {
        let guests = Guests::of(ALL);
        let alice = operator("alice", Role::Viewer);
        let mut seats: Vec<Seat> = (0..OF_ONE).map(|_| guests.seat(&alice).unwrap()).collect();
        assert_eq!(guests.seat(&alice).unwrap_err(), Full::OfOne);
        let as_admin = guests.seat(&operator("alice", Role::Admin));
        assert_eq!(as_admin.unwrap_err(), Full::OfOne, "in another role");
        let bob = guests.seat(&operator("bob", Role::Viewer)).unwrap();
        seats.pop();
        seats.push(guests.seat(&alice).unwrap());
        drop((seats, bob));
        assert!(guests.open().is_empty());
    }

    #[test]
    fn where_nobody_is_known_a_source_is_a_party() {
        let guests = Guests::of(ALL);
        let of = |address: &str| guests.seat(&stranger(address));
        let _many: Vec<Seat> =
            (0..OF_ONE).map(|n| of(&format!("2001:db8::{n}")).unwrap()).collect();
        assert_eq!(of("2001:db8::ffff").unwrap_err(), Full::OfOne);
        of("2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn there_is_an_end_of_seats_for_all_together() {
        let guests = Guests::of(ALL);
        let of = |n: usize| guests.seat(&stranger(&format!("10.0.{}.{}", n / 250, n % 250)));
        let _seats: Vec<Seat> = (0..ALL).map(|n| of(n).unwrap()).collect();
        assert_eq!(of(ALL).unwrap_err(), Full::All(ALL));
    }
}
