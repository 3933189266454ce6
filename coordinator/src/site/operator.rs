//! Credentials that an operator takes to another machine: one file, for its owner alone, of a day at
//! most. Whoever has the state folder needs none: it acts as an admin.

use std::path::Path;
use std::time::{Duration, SystemTime};

use quorate_proto::Secret;
use quorate_proto::trust::{BACKDATE, Credentials, Identity, OperatorName, Role, Who};
use serde::{Deserialize, Serialize};

use super::folder::{make_private, read, write_private};
use super::{Site, SiteError};
use crate::store::{Store, StoredOperator, seconds};

/// How long credentials may serve. Agents take none that live longer than a day.
const LIFETIME: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(1)..=Duration::from_hours(24);
/// Of the file's form.
const VERSION: u32 = 1;

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    quorate_credentials: u32,
    chain: String,
    key: Secret,
    node_roots: String,
}

/// Somebody's credentials, and whose they are.
#[derive(Debug, Clone)]
pub struct OperatorCredentials {
    pub credentials: Credentials,
    pub identity: Identity,
    pub name: OperatorName,
    pub role: Role,
}

impl OperatorCredentials {
    /// Says whose these are, if they are an operator's.
    fn of(credentials: Credentials) -> Option<Self> {
        let identity = credentials.identity().ok()?;
        let Who::Operator { name, role } = identity.who.clone() else { return None };
        Some(Self { credentials, identity, name, role })
    }

    /// The credentials in a file of [`Self::write`], if they still serve.
    pub fn read(path: &Path, now: SystemTime) -> Result<Self, SiteError> {
        let no_file = || SiteError::NoCredentials { path: path.to_owned() };
        let damaged = || SiteError::NotCredentials { path: path.to_owned() };
        let text = read(path)?.ok_or_else(no_file)?;
        let document = serde_json::from_str::<Document>(text.expose()).ok();
        let document = document.filter(|found| found.quorate_credentials == VERSION);
        let Document { chain, key, node_roots, .. } = document.ok_or_else(damaged)?;
        let credentials =
            Credentials { chain_pem: chain, key_pem: key, peer_roots_pem: node_roots };
        let ended = credentials.not_after().map_err(SiteError::Trust)? < seconds(now);
        let found = Self::of(credentials).ok_or_else(damaged)?;
        if ended {
            let Self { name, role, .. } = found;
            return Err(SiteError::Ended { path: path.to_owned(), name, role });
        }
        Ok(found)
    }

    /// Writes the file, for its owner alone.
    pub fn write(&self, path: &Path) -> Result<(), SiteError> {
        let Credentials { chain_pem, key_pem, peer_roots_pem } = self.credentials.clone();
        let document = Document {
            quorate_credentials: VERSION,
            chain: chain_pem,
            key: key_pem,
            node_roots: peer_roots_pem,
        };
        // Plain data: it cannot fail to serialise.
        let text = Secret::new(serde_json::to_string_pretty(&document).unwrap_or_default());
        write_private(path, text.expose())
    }
}

impl Site {
    /// Credentials for an operator, recorded before they are given out.
    pub fn issue_operator(
        &self,
        name: &OperatorName,
        role: Role,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<OperatorCredentials, SiteError> {
        if !LIFETIME.contains(&lifetime) {
            return Err(SiteError::OperatorLifetime(lifetime));
        }
        let issued = self.unrecorded_operator(name, role, lifetime, now)?;
        let credentials = &issued.credentials;
        let stored = StoredOperator {
            key: credentials.key_digest().map_err(SiteError::Trust)?,
            name: name.clone(),
            role,
            issued_at: seconds(now),
            not_after: credentials.not_after().map_err(SiteError::Trust)?,
        };
        self.store()?.add_operator(&stored).map_err(SiteError::Store)?;
        Ok(issued)
    }

    /// Credentials that must not leave this process without a record.
    pub(super) fn unrecorded_operator(
        &self,
        name: &OperatorName,
        role: Role,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<OperatorCredentials, SiteError> {
        let (bundle, _) = self.bundle()?;
        // Right after all were called in, one that began before that moment would be refused as well.
        let epoch = u64::try_from(bundle.epoch).unwrap_or_default();
        let from = now.max(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch) + BACKDATE);
        let credentials = self.roots.operator(name, role, lifetime, from);
        let mut credentials = credentials.map_err(SiteError::Trust)?;
        // During a change of roots nodes show certificates of either.
        credentials.peer_roots_pem = bundle.node_roots_pem();
        let identity = credentials.identity().map_err(SiteError::Trust)?;
        Ok(OperatorCredentials { credentials, identity, name: name.clone(), role })
    }
}

/// The store of a machine without the site, for its own runs; made with its folder where there is none.
pub(crate) fn own_history(folder: &Path) -> Result<Store, SiteError> {
    make_private(folder)?;
    Store::open(folder).map_err(SiteError::Store)
}

/// The runs that were made from a folder, be it a site's or a machine's own.
pub(crate) fn history(folder: &Path) -> Result<Store, SiteError> {
    if !Store::exists(folder) {
        return Err(SiteError::Missing { folder: folder.to_owned() });
    }
    Store::open(folder).map_err(SiteError::Store)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn credentials_are_recorded_and_read_back_until_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + 24 * HOUR;
        let site = Site::create(&folder.path().join("state"), now).unwrap();
        let alice = OperatorName::try_from("alice").unwrap();
        let issued = site.issue_operator(&alice, Role::Viewer, 8 * HOUR, now).unwrap();
        let path = folder.path().join("alice.json");
        issued.write(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let found = OperatorCredentials::read(&path, now + 8 * HOUR).unwrap();
        assert_eq!((found.name, found.role), (alice.clone(), Role::Viewer));
        assert_eq!(found.identity.site, site.id());
        assert_eq!(found.credentials, issued.credentials);
        let late = OperatorCredentials::read(&path, now + 9 * HOUR).unwrap_err();
        assert!(late.to_string().contains("operator issue alice --role viewer"), "{late}");

        let recorded = site.store().unwrap().operators().unwrap();
        let key = issued.credentials.key_digest().unwrap();
        assert_eq!(recorded.len(), 1);
        assert_eq!((recorded[0].key, &recorded[0].name), (key, &alice));
        let forever = site.issue_operator(&alice, Role::Viewer, 25 * HOUR, now);
        assert!(matches!(forever, Err(SiteError::OperatorLifetime(_))));
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let read = || OperatorCredentials::read(&path, SystemTime::UNIX_EPOCH);
        assert!(matches!(read(), Err(SiteError::NoCredentials { .. })));
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(), Err(SiteError::Exposed { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(read(), Err(SiteError::NotCredentials { .. })));
    }

    #[test]
    fn the_key_is_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::create(&folder.path().join("state"), SystemTime::now()).unwrap();
        let alice = OperatorName::try_from("alice").unwrap();
        let issued = site.issue_operator(&alice, Role::Admin, HOUR, SystemTime::now()).unwrap();
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }
}
