//! Those who have connected and not yet proved anything: how many there may be, and who goes when
//! another comes.
//!
//! Nobody is kept waiting behind a crowd that never finishes its handshake. The newcomer is let in,
//! and the one who has had the most time goes: of the same source if that has many already, else of
//! the source that has most. Who means well needs milliseconds, and is displaced by nobody as long as
//! the crowd comes from fewer machines than there are places.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use tokio::sync::oneshot;

/// Of one source, which may be many machines behind one address.
const OF_ONE_SOURCE: usize = 16;

/// Handshakes under way, the oldest first.
#[derive(Debug)]
pub(super) struct Crowd {
    places: usize,
    guests: VecDeque<Guest>,
    admitted: u64,
}

#[derive(Debug)]
struct Guest {
    number: u64,
    source: IpAddr,
    /// Dropped when the guest has to go.
    _stay: oneshot::Sender<()>,
}

/// A place in the crowd.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    /// Ends, with an error, when another needs the place.
    pub(super) lost: oneshot::Receiver<()>,
}

impl Crowd {
    /// A crowd of so many at most.
    pub(super) fn of(places: usize) -> Self {
        Self { places, guests: VecDeque::new(), admitted: 0 }
    }

    /// Lets a newcomer in.
    pub(super) fn admit(&mut self, address: IpAddr) -> Place {
        let source = source(address);
        let (stay, lost) = oneshot::channel();
        let of_source = self.guests.iter().filter(|guest| guest.source == source).count();
        if of_source >= OF_ONE_SOURCE {
            let oldest = self.guests.iter().position(|guest| guest.source == source);
            oldest.and_then(|oldest| self.guests.remove(oldest));
        } else if self.guests.len() >= self.places {
            self.shed();
        }
        self.admitted += 1;
        let number = self.admitted;
        self.guests.push_back(Guest { number, source, _stay: stay });
        Place { number, lost }
    }

    /// Sends the oldest away of the source that has most. Says whether there was anybody.
    pub(super) fn shed(&mut self) -> bool {
        let mut count = HashMap::<IpAddr, usize>::new();
        for guest in &self.guests {
            *count.entry(guest.source).or_default() += 1;
        }
        let most = count.values().max();
        let goes = self.guests.iter().position(|guest| count.get(&guest.source) == most);
        goes.and_then(|goes| self.guests.remove(goes)).is_some()
    }

    /// Whoever had this place is done.
    pub(super) fn leave(&mut self, place: &Place) {
        self.guests.retain(|guest| guest.number != place.number);
    }
}

/// One machine may have all addresses of an IPv6 network of 64 bits.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = 64;

    fn has_to_go(place: &mut Place) -> bool {
        place.lost.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn admit(crowd: &mut Crowd, count: usize, address: impl Fn(usize) -> String) -> Vec<Place> {
        (0..count).map(|n| crowd.admit(address(n).parse().unwrap())).collect()
    }

    #[test]
    fn one_source_displaces_itself_and_nobody_else() {
        let mut crowd = Crowd::of(ALL);
        let mut honest = crowd.admit("10.0.0.1".parse().unwrap());
        let mut flood = admit(&mut crowd, 10_000, |_| "10.0.0.9".to_owned());
        assert!(!has_to_go(&mut honest));
        let gone = flood.iter_mut().map(has_to_go).filter(|gone| *gone).count();
        assert_eq!(gone, 10_000 - OF_ONE_SOURCE);
        assert!(!has_to_go(flood.last_mut().unwrap()), "the newest goes last");
    }

    #[test]
    fn many_sources_displace_the_oldest_and_a_newcomer_is_always_let_in() {
        let mut crowd = Crowd::of(ALL);
        let mut flood = admit(&mut crowd, 1_000, |n| format!("10.0.{}.{}", n / 250, n % 250));
        let mut honest = crowd.admit("10.9.9.9".parse().unwrap());
        assert!(!has_to_go(&mut honest));
        let stay = flood.iter_mut().map(has_to_go).filter(|gone| !*gone).count();
        assert_eq!(stay, ALL - 1);
        assert_eq!(crowd.guests.len(), ALL);
    }

    #[test]
    fn a_crowd_from_a_few_machines_displaces_itself_and_nobody_else() {
        let mut crowd = Crowd::of(ALL);
        let mut honest = crowd.admit("10.9.9.9".parse().unwrap());
        let mut flood = admit(&mut crowd, 10_000, |n| format!("10.0.0.{}", n % 10));
        assert!(!has_to_go(&mut honest));
        let stay = flood.iter_mut().map(has_to_go).filter(|gone| !*gone).count();
        assert_eq!(stay, ALL - 1);
    }

    #[test]
    fn who_is_done_makes_room() {
        let mut crowd = Crowd::of(ALL);
        let places = admit(&mut crowd, OF_ONE_SOURCE, |_| "10.0.0.9".to_owned());
        for place in &places {
            crowd.leave(place);
        }
        assert!(crowd.guests.is_empty());
    }

    #[test]
    fn where_room_is_wanting_the_oldest_goes() {
        let mut crowd = Crowd::of(ALL);
        let mut places = admit(&mut crowd, 2, |n| format!("10.0.0.{n}"));
        assert!(crowd.shed());
        assert_eq!(places.iter_mut().map(has_to_go).collect::<Vec<_>>(), [true, false]);
        assert!(crowd.shed() && !crowd.shed());
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let source = |text: &str| source(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
    }
}
