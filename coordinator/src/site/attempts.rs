//! How often claims may be tried: a token cannot be guessed, but trying costs us work and log lines.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

const WINDOW: Duration = Duration::from_mins(1);
const IN_ALL: usize = 100;
const PER_SOURCE: usize = 10;

/// The attempts of the last minute; never more than may be made in one.
#[derive(Debug, Default)]
pub(super) struct Attempts(VecDeque<(SystemTime, IpAddr)>);

impl Attempts {
    /// Whether one more may be made from there now. Those refused do not count.
    pub(super) fn admit(&mut self, source: IpAddr, now: SystemTime) -> bool {
        // After a clock was set back, what it calls the future is forgotten.
        self.0.retain(|(at, _)| now.duration_since(*at).is_ok_and(|age| age < WINDOW));
        let from_there = self.0.iter().filter(|(_, from)| *from == source).count();
        let admitted = self.0.len() < IN_ALL && from_there < PER_SOURCE;
        if admitted {
            self.0.push_back((now, source));
        }
        admitted
    }

    /// Takes back the newest attempt from there: it was an honest one. Whoever waits has to ask again and
    /// again.
    pub(super) fn forgive(&mut self, source: IpAddr) {
        if let Some(newest) = self.0.iter().rposition(|(_, from)| *from == source) {
            self.0.remove(newest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_use_up_the_minute_of_others() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut attempts = Attempts::default();
        let admitted = (0..1_000).filter(|_| attempts.admit(one, at(100))).count();
        assert_eq!(admitted, PER_SOURCE);
        assert!(attempts.admit(two, at(100)));
        assert!(!attempts.admit(one, at(159)));
        assert!(attempts.admit(one, at(160)));
    }

    #[test]
    fn asking_again_while_one_waits_uses_up_nothing() {
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let (mut attempts, now) = (Attempts::default(), SystemTime::UNIX_EPOCH + WINDOW);
        assert!(attempts.admit(two, now));
        for _ in 0..1_000 {
            assert!(attempts.admit(one, now));
            attempts.forgive(one);
        }
        let admitted = (0..1_000).filter(|_| attempts.admit(two, now)).count();
        assert_eq!(admitted, PER_SOURCE - 1);
    }

    #[test]
    fn many_sources_share_a_limit() {
        let mut attempts = Attempts::default();
        let now = SystemTime::UNIX_EPOCH + WINDOW;
        let sources = (0..200_u8).map(|last| IpAddr::from([10, 0, 0, last]));
        assert_eq!(sources.filter(|source| attempts.admit(*source, now)).count(), IN_ALL);
    }
}
