//! How many there are at once, of all and of one party: connections to a listener, or calls to an executor.
//!
//! One party cannot fill the house. Here the newcomer goes, and not the oldest: who is in may be at work.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A house of so many seats.
#[derive(Debug)]
pub struct Seats<P> {
    all: usize,
    of_one: usize,
    taken: Mutex<HashMap<P, usize>>,
}

/// A party's place among the others, until it is dropped.
#[derive(Debug)]
pub struct Seat<P: Eq + Hash> {
    party: P,
    seats: Arc<Seats<P>>,
}

/// The house is full, for all or for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("{0} are open already")]
    All(usize),
    #[error("{0} of the same party are open already")]
    OfOne(usize),
}

impl<P: Eq + Hash + Clone> Seats<P> {
    /// Seats for so many, and for so many of one party.
    pub fn of(all: usize, of_one: usize) -> Arc<Self> {
        Arc::new(Self { all, of_one, taken: Mutex::default() })
    }

    /// Seats one more of this party.
    pub fn take(self: &Arc<Self>, party: P) -> Result<Seat<P>, Full> {
        let mut taken = self.taken();
        if taken.values().sum::<usize>() >= self.all {
            return Err(Full::All(self.all));
        }
        let of_one = taken.entry(party.clone()).or_default();
        if *of_one >= self.of_one {
            return Err(Full::OfOne(self.of_one));
        }
        *of_one += 1;
        Ok(Seat { party, seats: Arc::clone(self) })
    }
}

impl<P> Seats<P> {
    fn taken(&self) -> MutexGuard<'_, HashMap<P, usize>> {
        // No code that can panic runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Eq + Hash> Drop for Seat<P> {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_does_not_fill_the_house() {
        let seats = Seats::of(64, 16);
        let mut of_alice: Vec<_> = (0..16).map(|_| seats.take("alice").unwrap()).collect();
        assert_eq!(seats.take("alice").unwrap_err(), Full::OfOne(16));
        let bob = seats.take("bob").unwrap();
        of_alice.pop();
        of_alice.push(seats.take("alice").unwrap());
        drop((of_alice, bob));
        assert!(seats.taken().is_empty());
    }

    #[test]
    fn there_is_an_end_of_seats_for_all_together() {
        let seats = Seats::of(64, 16);
        let _taken: Vec<_> = (0..64).map(|n| seats.take(n).unwrap()).collect();
        assert_eq!(seats.take(64).unwrap_err(), Full::All(64));
    }
}
