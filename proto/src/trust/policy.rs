//! A bundle at work: whether a certificate is taken, at its handshake and at each call after it.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::bundle::{Denied, TrustBundle};
use super::certificate::Seen;
use super::error::TrustError;
use super::identity::{Identity, Who};
use super::peer::Peer;

/// A bundle, ready to be asked.
#[derive(Debug)]
pub struct Policy {
    bundle: TrustBundle,
    denied: HashMap<Denied, i64>,
}

impl Policy {
    pub fn new(bundle: TrustBundle) -> Self {
        let denied = bundle.deny.iter().map(|denial| (denial.who.clone(), denial.until)).collect();
        Self { bundle, denied }
    }

    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Whether the party is taken with this certificate at this moment.
    pub fn check(&self, who: &Identity, seen: &Seen, now: SystemTime) -> Result<(), TrustError> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let refused = |why| Err(TrustError::NotTaken { identity: who.clone(), why });
        if who.site != self.bundle.site {
            return Err(TrustError::OtherSite { expected: self.bundle.site, found: who.site });
        }
        if now > seen.not_after {
            return refused("its certificate has ended");
        }
        if seen.not_before < self.bundle.epoch {
            return refused("its certificate is from before all were called in");
        }
        let names = [
            Denied::Party(party(&who.who)),
            Denied::Key(seen.key.to_string()),
            Denied::Serial(seen.serial.clone()),
        ];
        let denied =
            names.iter().filter_map(|name| self.denied.get(name)).any(|until| now <= *until);
        if denied { refused("it is denied") } else { Ok(()) }
    }

    /// As [`Self::check`], now, for somebody on an open connection.
    pub fn still_takes(&self, peer: &Peer) -> Result<(), TrustError> {
        match (&peer.identity, &peer.seen) {
            (Some(who), Some(seen)) => self.check(who, seen, SystemTime::now()),
            _ => Ok(()),
        }
    }
}

/// A party as deny lists name it: an operator whatever the role.
pub fn party(who: &Who) -> String {
    match who {
        Who::Node(name) => format!("node:{name}"),
        Who::Operator { name, .. } => format!("operator:{name}"),
        Who::Coordinator => "coordinator".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::trust::{Denial, KeyDigest, OperatorName, Role, SiteId};

    #[test]
    fn a_certificate_is_refused_by_party_key_serial_epoch_site_and_end() {
        let site = SiteId::random();
        let name = OperatorName::try_from("alice").unwrap();
        let alice = Identity { site, who: Who::Operator { name, role: Role::Viewer } };
        let seen = Seen {
            key: KeyDigest([7; 32]),
            serial: "0a".to_owned(),
            not_before: 1_000,
            not_after: 2_000,
        };
        let bundle = TrustBundle::of_enrolment(site, String::new(), String::new());
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let taken = |bundle: &TrustBundle, now| {
            Policy::new(bundle.clone()).check(&alice, &seen, at(now)).is_ok()
        };
        assert!(taken(&bundle, 1_500) && taken(&bundle, 2_000));
        assert!(!taken(&bundle, 2_001), "ended");
        assert!(taken(&TrustBundle { epoch: 1_000, ..bundle.clone() }, 1_500));
        assert!(!taken(&TrustBundle { epoch: 1_001, ..bundle.clone() }, 1_500));
        assert!(!taken(&TrustBundle { site: SiteId::random(), ..bundle.clone() }, 1_500));
        for (who, hit) in [
            (Denied::Party("operator:alice".to_owned()), true),
            (Denied::Key(KeyDigest([7; 32]).to_string()), true),
            (Denied::Serial("0a".to_owned()), true),
            (Denied::Party("operator:bob".to_owned()), false),
            (Denied::Party("node:alice".to_owned()), false),
            (Denied::Key(KeyDigest([8; 32]).to_string()), false),
        ] {
            let deny = vec![Denial { who: who.clone(), until: 1_600 }];
            let bundle = TrustBundle { deny, ..bundle.clone() };
            assert_eq!(taken(&bundle, 1_600), !hit, "{who:?}");
            assert!(taken(&bundle, 1_601), "{who:?}: over");
        }
    }
}
