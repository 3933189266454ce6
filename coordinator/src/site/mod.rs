//! A site on its coordinator: the state folder with both roots, and what may be done with them.
//! Whoever can read the folder commands every node of the site.

mod attempts;
mod claim;
mod enrolment;
mod folder;
mod service;
mod unclaimed;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

pub use enrolment::{Tiding, serve_enrolment};
pub(crate) use folder::replace_private;
use quorate_proto::NodeName;
use quorate_proto::Secret;
use quorate_proto::trust::{
    Credentials, IdentityError, JoinToken, OperatorName, Roots, RootsPem, SiteId, TrustError,
};
pub use service::{Clock, EnrolService};
pub use unclaimed::{ClaimNodeError, ClaimedNode, Target, claim_node};

use crate::spec::Role;
use crate::store::{Approval, Store, StoreError, TokenRecord, TokenState};
use folder::{make_private, read, write_private};

/// The marker of a whole state folder: written last, read first.
const SITE: &str = "site.id";
const OPERATORS: &str = "operators.crt";
const OPERATORS_KEY: &str = "operators.key";
const NODES: &str = "nodes.crt";
const NODES_KEY: &str = "nodes.key";

/// A token's shortest and longest life: it has to outlast the way to the node, and a machine that
/// boots from the network takes its time.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// The state folder does not serve.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error("{folder} holds a site already; nothing was changed")]
    Exists { folder: PathBuf },
    #[error("{folder} holds no site; make one with `quorate init --state {folder}`")]
    Missing { folder: PathBuf },
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
    pub role: Role,
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
    /// Makes a new site in a folder that holds none.
    pub fn create(folder: &Path, now: SystemTime) -> Result<Self, SiteError> {
        if read(&folder.join(SITE))?.is_some() {
            return Err(SiteError::Exists { folder: folder.to_owned() });
        }
        make_private(folder)?;
        let roots = Roots::create(SiteId::random(), now).map_err(SiteError::Trust)?;
        let pem = roots.to_pem();
        write_private(&folder.join(OPERATORS), &pem.operators_pem)?;
        write_private(&folder.join(OPERATORS_KEY), pem.operators_key_pem.expose())?;
        write_private(&folder.join(NODES), &pem.nodes_pem)?;
        write_private(&folder.join(NODES_KEY), pem.nodes_key_pem.expose())?;
        Store::open(folder).map_err(SiteError::Store)?;
        write_private(&folder.join(SITE), &format!("{}\n", roots.site()))?;
        Ok(Self { folder: folder.to_owned(), roots })
    }

    /// Opens the site of a folder.
    pub fn open(folder: &Path) -> Result<Self, SiteError> {
        let missing = || SiteError::Missing { folder: folder.to_owned() };
        let file = |name: &str| read(&folder.join(name))?.ok_or_else(missing);
        let path = folder.join(SITE);
        let site = file(SITE)?.expose().trim().parse();
        let site = site.map_err(|source| SiteError::Damaged { path, source })?;
        let pem = RootsPem {
            operators_pem: file(OPERATORS)?.expose().to_owned(),
            operators_key_pem: file(OPERATORS_KEY)?,
            nodes_pem: file(NODES)?.expose().to_owned(),
            nodes_key_pem: file(NODES_KEY)?,
        };
        let roots = Roots::load(site, &pem).map_err(SiteError::Trust)?;
        Ok(Self { folder: folder.to_owned(), roots })
    }

    pub fn id(&self) -> SiteId {
        self.roots.site()
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

    /// Credentials for one run: they may order every node of the site, for a day. Keep them in
    /// memory.
    pub fn run_credentials(&self, now: SystemTime) -> Result<Credentials, SiteError> {
        // Each operator gets a name of their own once there is more than one.
        let operator = OperatorName::try_from("coordinator").map_err(TrustError::Nameless);
        let credentials = operator.and_then(|operator| self.roots.operator(&operator, now));
        credentials.map_err(SiteError::Trust)
    }

    /// Credentials to serve enrolment with, for a day. Keep them in memory.
    pub(crate) fn service_credentials(&self, now: SystemTime) -> Result<Credentials, SiteError> {
        self.roots.service(now).map_err(SiteError::Trust)
    }
}
