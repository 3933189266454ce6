//! The site's trust bundle: who is trusted now, and who is not any more.

use std::path::Path;
use std::time::{Duration, SystemTime};

use quorate_proto::NodeName;
use quorate_proto::trust::{
    Denial, Denied, KeyDigest, OperatorName, RootKeys, SignedBundle, TrustBundle,
};

use super::folder::{alone, read, write_private};
use super::keys::load_root_keys;
use super::{Site, SiteError};
use crate::store::seconds;

/// The newest bundle, signed.
const BUNDLE: &str = "trust.json";
/// Longer than any operator's certificate that agents take.
const OPERATOR_MEMORY: Duration = Duration::from_hours(25);
/// Longer than any leaf of the site.
const KEY_MEMORY: Duration = Duration::from_hours(24 * 91);

/// Whom to trust no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deny {
    Operator(OperatorName),
    /// All certificates that operators were given so far.
    Operators,
    /// All certificates that the node was given; a fresh token lets it in again.
    Node(NodeName),
    Key(KeyDigest),
}

/// Keeps the newest bundle.
pub(super) fn keep(folder: &Path, bundle: &SignedBundle) -> Result<(), SiteError> {
    write_private(&folder.join(BUNDLE), &bundle.to_json())
}

/// Signs a bundle as the generation that follows. One that no node would take is an error.
pub(super) fn sign_next(
    keys: &RootKeys,
    bundle: &mut TrustBundle,
    now: SystemTime,
) -> Result<SignedBundle, SiteError> {
    bundle.generation += 1;
    bundle.issued_at = seconds(now);
    let signed = keys.sign(bundle).map_err(SiteError::Trust)?;
    signed.read().map_err(SiteError::Bundle)?;
    Ok(signed)
}

impl Site {
    /// The newest bundle, as it is now on the disk: another process may have made it.
    pub fn bundle(&self) -> Result<(TrustBundle, SignedBundle), SiteError> {
        let path = self.folder.join(BUNDLE);
        let text = read(&path)?.ok_or_else(|| SiteError::Incomplete { path })?;
        let signed = SignedBundle::from_json(text.expose()).map_err(SiteError::Bundle)?;
        Ok((signed.read().map_err(SiteError::Bundle)?, signed))
    }

    /// Makes a bundle that trusts the party no more. It counts at a node once it has been pushed there.
    pub fn deny(
        &self,
        deny: &Deny,
        root_keys: Option<&Path>,
        now: SystemTime,
    ) -> Result<TrustBundle, SiteError> {
        let keys = load_root_keys(&self.folder, root_keys, self.id())?;
        let _alone = alone(&self.folder)?;
        let mut store = self.store()?;
        let (mut bundle, _) = self.bundle()?;
        // Who is denied twice is denied for the longer time.
        bundle.deny.retain(|denial| denial.until >= seconds(now));
        match deny {
            Deny::Operator(name) => {
                let who = Denied::Party(format!("operator:{name}"));
                bundle.deny.push(Denial { who, until: seconds(now + OPERATOR_MEMORY) });
            }
            Deny::Operators => bundle.epoch = seconds(now),
            Deny::Key(key) => {
                let who = Denied::Key(key.to_string());
                bundle.deny.push(Denial { who, until: seconds(now + KEY_MEMORY) });
            }
            Deny::Node(node) => {
                let held = store.node_certificates().map_err(SiteError::Store)?;
                let held = held.into_iter().filter(|held| held.node == *node);
                let keys = held.map(|held| Denied::Key(held.key.to_string()));
                let until = seconds(now + KEY_MEMORY);
                bundle.deny.extend(keys.map(|who| Denial { who, until }));
            }
        }
        let signed = sign_next(&keys, &mut bundle, now)?;
        // The coordinator's own refusal first: it must not be forgotten if we end here.
        if let Deny::Node(node) = deny {
            store.retire_node(node).map_err(SiteError::Store)?;
        }
        keep(&self.folder, &signed)?;
        Ok(bundle)
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::trust::Policy;

    use super::*;
    use crate::site::OperatorCredentials;

    #[test]
    fn each_denial_is_a_signed_generation_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        let site = Site::create(&folder.path().join("state"), now).unwrap();
        let (first, _) = site.bundle().unwrap();
        let alice = OperatorName::try_from("alice").unwrap();
        site.deny(&Deny::Operator(alice), None, now).unwrap();
        let key = KeyDigest([7; 32]);
        let denied = site.deny(&Deny::Key(key), None, now).unwrap();
        let (bundle, signed) = site.bundle().unwrap();
        assert_eq!((bundle.generation, bundle.deny.len()), (3, 2));
        assert_eq!(first.accept(&signed).unwrap(), denied);

        let later = now + OPERATOR_MEMORY + Duration::from_secs(1);
        let bundle = site.deny(&Deny::Key(KeyDigest([8; 32])), None, later).unwrap();
        assert_eq!(bundle.deny.len(), 2, "alice's certificates have all ended");
    }

    #[test]
    fn operators_of_before_are_all_refused_and_those_of_after_are_taken_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let site = Site::create(&folder.path().join("state"), now).unwrap();
        let taken = |operator: &OperatorCredentials| {
            let policy = Policy::new(site.bundle().unwrap().0);
            let seen = operator.credentials.seen().unwrap();
            policy.check(&operator.identity, &seen, now).is_ok()
        };
        let before = site.run_credentials(now).unwrap();
        assert!(taken(&before));
        site.deny(&Deny::Operators, None, now).unwrap();
        assert!(!taken(&before));
        let after = site.run_credentials(now).unwrap();
        assert!(taken(&after));
        let seen = after.credentials.seen().unwrap();
        assert_eq!(seen.not_before, seconds(now), "it holds on a node whose clock is right");
        assert!(seen.not_after - seen.not_before <= 24 * 3600 + 600, "agents take no longer life");
    }

    #[test]
    fn of_denials_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (state, now) = (folder.path().join("state"), SystemTime::now());
        Site::create(&state, now).unwrap();
        std::thread::scope(|threads| {
            for n in 0..8 {
                let site = Site::open(&state).unwrap();
                threads
                    .spawn(move || site.deny(&Deny::Key(KeyDigest([n; 32])), None, now).unwrap());
            }
        });
        let (bundle, _) = Site::open(&state).unwrap().bundle().unwrap();
        assert_eq!((bundle.generation, bundle.deny.len()), (9, 8));
    }

    #[test]
    fn denying_takes_the_roots_keys() {
        let folder = tempfile::tempdir().unwrap();
        let (state, safe) = (folder.path().join("state"), folder.path().join("safe"));
        let now = SystemTime::now();
        let site = Site::create_apart(&state, Some(&safe), now).unwrap();
        let deny = Deny::Key(KeyDigest([7; 32]));
        let error = site.deny(&deny, None, now).unwrap_err();
        assert!(matches!(error, SiteError::NoRootKeys { .. }), "{error}");
        assert_eq!(site.bundle().unwrap().0.generation, 1);
        assert_eq!(site.deny(&deny, Some(&safe), now).unwrap().generation, 2);
    }
}
