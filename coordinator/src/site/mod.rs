//! A site on its coordinator: the state folder with both roots, and what may be done with them.
//! Whoever can read the folder commands every node of the site.

mod attempts;
mod claim;
mod enrolment;
mod folder;
mod keys;
mod operator;
mod renewal;
mod rotation;
mod service;
mod standing;
mod trust;
mod unclaimed;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
pub use enrolment::{Tiding, serve_enrolment};
pub(crate) use folder::replace_private;
pub use keys::ROOT_KEYS;
pub use operator::OperatorCredentials;
pub(crate) use operator::{history, own_history};
use quorate_proto::NodeName;
use quorate_proto::Secret;
use quorate_proto::trust::{
    BundleError, Credentials, IdentityError, JoinToken, OperatorName, Role, RootKeys, Roots,
    SiteId, TrustError,
};
pub(crate) use renewal::due;
pub use renewal::{NodeCall, RenewError, Renewed, renew, renew_all};
pub use rotation::{Phase, Rotated, Rotation, Tell};
pub use service::{Clock, EnrolService};
pub use standing::{Ending, Kept, NodeStanding, OperatorStanding, Shown, TrustStanding};
pub use trust::Deny;
pub use unclaimed::{ClaimNodeError, ClaimedNode, Target, claim_node};

use crate::fleet::{Channels, KnownKeys, TrustCalls};
use crate::spec::{ClusterSpec, Role as NodeRole};
use crate::store::{Approval, Store, StoreError, TokenRecord, TokenState};
use folder::{make_private, read, write_private};
use keys::{keep, keep_root_keys, load_root_keys, refuse_older};

/// The marker of a whole state folder: written last, read first.
const SITE: &str = "site.id";

/// A token's shortest and longest life: it has to outlast the way to the node, and a machine that
/// boots from the network takes its time.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// A run may be long, and nobody is there to renew its credentials.
const RUN: Duration = Duration::from_hours(24);

/// The state folder does not serve.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("{folder} holds a site already; nothing was changed")]
    Exists { folder: PathBuf },
    #[error("{folder} holds no site; make one with `quorate init --state {folder}`")]
    Missing { folder: PathBuf },
    #[error(
        "{folder} holds a site from before the first release, whose roots signed everything \
         themselves; it is not taken over: move it away, run `quorate init`, and enrol the nodes anew"
    )]
    Older { folder: PathBuf },
    #[error("{path} is missing; restore the state folder from a backup")]
    Incomplete { path: PathBuf },
    #[error(
        "the keys of the site's roots are not in {folder}; bring the medium that they were moved to, \
         and name its folder with --root-keys DIR"
    )]
    NoRootKeys { folder: PathBuf },
    #[error("{path} is a key already and is not written over; name an empty folder")]
    KeysExist { path: PathBuf },
    #[error("{path} can be read by others; make it private with `chmod go= {path}`")]
    Exposed { path: PathBuf },
    #[error("{path} is damaged; restore the state folder from a backup")]
    Damaged {
        path: PathBuf,
        #[source]
        source: IdentityError,
    },
    #[error("{attempt} {path}")]
    Io {
        attempt: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("a token lives for 1 minute to 24 hours, not {0:?}; choose another --ttl")]
    Ttl(Duration),
    #[error("credentials serve for 1 minute to 24 hours, not {0:?}; choose another --for")]
    OperatorLifetime(Duration),
    #[error("{path} does not exist; name the file that `quorate operator issue` wrote")]
    NoCredentials { path: PathBuf },
    #[error("{path} does not hold credentials of `quorate operator issue`; copy the file again")]
    NotCredentials { path: PathBuf },
    #[error(
        "the credentials in {path} have ended; whoever has the site's state folder makes new ones: \
         `quorate operator issue {name} --role {role} --out FILE`"
    )]
    Ended { path: PathBuf, name: OperatorName, role: Role },
    #[error("using the site's trust bundle; restore the state folder from a backup")]
    Bundle(#[source] BundleError),
    #[error("using the site's roots")]
    Trust(#[source] TrustError),
    #[error("using the site's store")]
    Store(#[source] StoreError),
    #[error("listening on {address}; choose another address with --listen")]
    Listen {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("serving enrolment")]
    Serve(#[source] tonic::transport::Error),
}

/// A site with its keys.
#[derive(Debug)]
pub struct Site {
    folder: PathBuf,
    roots: Roots,
}

/// What a token is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTerms {
    pub role: NodeRole,
    pub approval: Approval,
    pub ttl: Duration,
}

/// A token, just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Kept nowhere: who loses it makes another.
    pub text: Secret,
    pub not_after: SystemTime,
    /// The node has an identity already, which this token is to replace.
    pub replaces: bool,
}

impl Site {
    /// Makes a new site in a folder that holds none, with the roots' keys in it.
    pub fn create(folder: &Path, now: SystemTime) -> Result<Self, SiteError> {
        Self::create_apart(folder, None, now)
    }

    /// As [`Self::create`], the roots' keys in another folder if one is named.
    pub fn create_apart(
        folder: &Path,
        root_keys: Option<&Path>,
        now: SystemTime,
    ) -> Result<Self, SiteError> {
        if read(&folder.join(SITE))?.is_some() {
            return Err(SiteError::Exists { folder: folder.to_owned() });
        }
        make_private(folder)?;
        let keys = RootKeys::create(SiteId::random(), now).map_err(SiteError::Trust)?;
        let roots = keys.issue(now).map_err(SiteError::Trust)?;
        let apart = root_keys.map_or_else(|| folder.join(ROOT_KEYS), PathBuf::from);
        keep_root_keys(&apart, &keys)?;
        keep(folder, &roots)?;
        let bundle = keys.sign(&keys.first_bundle(now)).map_err(SiteError::Trust)?;
        trust::keep(folder, &bundle)?;
        Store::open(folder).map_err(SiteError::Store)?;
        write_private(&folder.join(SITE), &format!("{}\n", roots.site()))?;
        Ok(Self { folder: folder.to_owned(), roots })
    }

    /// Opens the site of a folder.
    pub fn open(folder: &Path) -> Result<Self, SiteError> {
        let missing = || SiteError::Missing { folder: folder.to_owned() };
        let path = folder.join(SITE);
        let site = read(&path)?.ok_or_else(missing)?.expose().trim().parse();
        let site = site.map_err(|source| SiteError::Damaged { path, source })?;
        refuse_older(folder)?;
        let roots = keys::load(folder, site)?;
        Ok(Self { folder: folder.to_owned(), roots })
    }

    pub fn id(&self) -> SiteId {
        self.roots.site()
    }

    /// Makes both issuing authorities anew, for a year. What the old ones signed stays good.
    pub fn reissue(&mut self, root_keys: Option<&Path>, now: SystemTime) -> Result<(), SiteError> {
        let keys = load_root_keys(&self.folder, root_keys, self.id())?;
        self.roots = keys.issue(now).map_err(SiteError::Trust)?;
        keep(&self.folder, &self.roots)
    }

    /// Which keys the nodes have, as far as the store knows them.
    pub fn known_keys(&self) -> Result<KnownKeys, SiteError> {
        Ok(KnownKeys::of(self.store()?))
    }

    /// The calls about trust to the nodes of a specification. Connects to nobody yet.
    pub fn trust_calls(
        &self,
        spec: &ClusterSpec,
        credentials: Credentials,
    ) -> Result<TrustCalls, SiteError> {
        let credentials = Arc::new(ArcSwap::from_pointee(credentials));
        let channels = Channels::new(spec, &self.id(), &credentials, &self.known_keys()?);
        channels.map(TrustCalls::over).map_err(SiteError::Trust)
    }

    /// The same with credentials of a run that begins now.
    pub fn run_calls(&self, spec: &ClusterSpec, now: SystemTime) -> Result<TrustCalls, SiteError> {
        self.trust_calls(spec, self.run_credentials(now)?.credentials)
    }

    /// The site's store, opened.
    pub fn store(&self) -> Result<Store, SiteError> {
        Store::open(&self.folder).map_err(SiteError::Store)
    }

    /// A token with which one node can enrol once.
    pub fn issue_token(
        &self,
        node: &NodeName,
        terms: &TokenTerms,
        now: SystemTime,
    ) -> Result<NewToken, SiteError> {
        let TokenTerms { role, approval, ttl } = *terms;
        if !TTL.contains(&ttl) {
            return Err(SiteError::Ttl(ttl));
        }
        let mint = || {
            let token = JoinToken::mint(self.roots.pin()?)?;
            Ok((token.verify_key()?, token))
        };
        let (verify_key, token) = mint().map_err(SiteError::Trust)?;
        let mut store = self.store()?;
        let replaces = store.enrolled(node).map_err(SiteError::Store)?;
        let record = TokenRecord {
            id: token.id(),
            node: node.clone(),
            verify_key,
            role,
            approval,
            issued_at: crate::store::seconds(now),
            not_after: crate::store::seconds(now + ttl),
            state: TokenState::Issued,
            claimant: None,
        };
        store.add_token(&record).map_err(SiteError::Store)?;
        Ok(NewToken { text: token.to_text(), not_after: now + ttl, replaces })
    }

    /// Credentials for one command, of an admin and for a day: whoever has this folder may do all.
    /// Keep them in memory, where they need no record.
    pub fn run_credentials(&self, now: SystemTime) -> Result<OperatorCredentials, SiteError> {
        let name = OperatorName::try_from("coordinator");
        let name = name.map_err(|error| SiteError::Trust(TrustError::Nameless(error)))?;
        self.unrecorded_operator(&name, Role::Admin, RUN, now)
    }

    /// Credentials to serve enrolment with, for a day. Keep them in memory.
    pub(crate) fn service_credentials(&self, now: SystemTime) -> Result<Credentials, SiteError> {
        self.roots.service(now).map_err(SiteError::Trust)
    }
}
