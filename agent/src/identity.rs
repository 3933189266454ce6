//! The node's identity on its disk: key, certificate, and the two roots, a file each.
//!
//! The certificate is written last and looked at first: without it there is no identity. A renewal
//! replaces it in one write, its new key being there before. Nothing here makes the node another one;
//! that takes an administrator on the node, who removes the identity first.

use std::path::PathBuf;

use quorate_proto::trust::{Credentials, NodeKey, SiteId, TrustError, Who, server_config};
use quorate_proto::{NodeName, Secret};

use crate::host::{Files, HostError};

/// Where an installed agent keeps its identity.
pub const FOLDER: &str = "/var/lib/quorate-agent/identity";

const CHAIN: &str = "chain.pem";
const KEY: &str = "key.pem";
const OPERATORS: &str = "operators.pem";
const NODES: &str = "nodes.pem";
/// The key that waits for its certificate during a renewal.
const NEXT_KEY: &str = "next.key";
/// The newest trust bundle.
pub(crate) const BUNDLE: &str = "trust.json";

/// Who this node is, and what it proves that with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub site: SiteId,
    pub node: NodeName,
    /// For [`server_config`].
    pub credentials: Credentials,
    /// The root that signed the certificate, for its renewal.
    pub node_root_pem: String,
    /// The newest trust bundle, signed, as JSON; empty where none came yet.
    pub bundle: String,
}

/// The identity on the disk is of no use.
#[derive(Debug, thiserror::Error)]
pub enum NodeIdentityError {
    #[error("reading the node's identity")]
    Read(#[source] HostError),
    #[error("writing the node's identity; see that its disk has room and is writable")]
    Write(#[source] HostError),
    #[error("removing the node's identity; run the same command again")]
    Remove(#[source] HostError),
    #[error(
        "{path} is missing; restore it, or run `quorate-agent reset --identity` and enrol again"
    )]
    Missing { path: String },
    #[error(
        "{path} is not text; restore it, or run `quorate-agent reset --identity` and enrol again"
    )]
    Text { path: String },
    #[error(
        "the identity in {folder} does not serve; run `quorate-agent reset --identity` and enrol again"
    )]
    Unfit {
        folder: String,
        #[source]
        source: TrustError,
    },
    #[error(
        "the identity in {folder} is not a node's; run `quorate-agent reset --identity` and enrol again"
    )]
    NotANode { folder: String },
}

impl NodeIdentity {
    /// The identity in a folder; `None` if the node never enrolled.
    pub async fn load(host: &dyn Files, folder: &str) -> Result<Option<Self>, NodeIdentityError> {
        let Some(chain) = read(host, &path(folder, CHAIN)).await? else { return Ok(None) };
        let mut credentials = Credentials {
            chain_pem: chain.expose().to_owned(),
            key_pem: part(host, folder, KEY).await?,
            peer_roots_pem: part(host, folder, OPERATORS).await?.expose().to_owned(),
        };
        if let Some(next) = next_key(host, folder).await?
            && credentials.key_digest().is_ok_and(|key| key == next.key_digest())
        {
            // A renewal was cut off once its certificate was here.
            credentials.key_pem = next.to_pem();
        }
        let node_root_pem = part(host, folder, NODES).await?.expose().to_owned();
        let bundle = read(host, &path(folder, BUNDLE)).await?;
        let bundle = bundle.map(|bundle| bundle.expose().to_owned()).unwrap_or_default();
        let unfit = |source| NodeIdentityError::Unfit { folder: folder.to_owned(), source };
        let identity = credentials.identity().map_err(unfit)?;
        server_config(&credentials).map_err(unfit)?;
        let Who::Node(node) = identity.who else {
            return Err(NodeIdentityError::NotANode { folder: folder.to_owned() });
        };
        Ok(Some(Self { site: identity.site, node, credentials, node_root_pem, bundle }))
    }

    /// Writes the identity of a node that has none.
    pub(crate) async fn store(
        &self,
        host: &dyn Files,
        folder: &str,
    ) -> Result<(), NodeIdentityError> {
        let Credentials { chain_pem, key_pem, peer_roots_pem } = &self.credentials;
        let files = [
            (KEY, key_pem.expose()),
            (OPERATORS, peer_roots_pem),
            (NODES, &self.node_root_pem),
            (BUNDLE, &self.bundle),
            (CHAIN, chain_pem),
        ];
        for (name, content) in files.into_iter().filter(|(_, content)| !content.is_empty()) {
            let written = host.write(&path(folder, name), content.as_bytes(), 0o600).await;
            written.map_err(NodeIdentityError::Write)?;
        }
        Ok(())
    }
}

/// The key of a renewal that was begun; `None` also where it cannot be read, as another serves as well.
pub(crate) async fn next_key(
    host: &dyn Files,
    folder: &str,
) -> Result<Option<NodeKey>, NodeIdentityError> {
    let pem = read(host, &path(folder, NEXT_KEY)).await?;
    Ok(pem.and_then(|pem| NodeKey::from_pem(&pem).ok()))
}

/// Keeps the key of a renewal until its certificate comes.
pub(crate) async fn keep_next_key(
    host: &dyn Files,
    folder: &str,
    key: &NodeKey,
) -> Result<(), NodeIdentityError> {
    let pem = key.to_pem();
    let written = host.write(&path(folder, NEXT_KEY), pem.expose().as_bytes(), 0o600).await;
    written.map_err(NodeIdentityError::Write)
}

/// Replaces the certificate by that of the key that waits. From here on the identity is the new one,
/// wherever its key lies.
pub(crate) async fn keep_renewed(
    host: &dyn Files,
    folder: &str,
    next: &Credentials,
) -> Result<(), NodeIdentityError> {
    let written = host.write(&path(folder, CHAIN), next.chain_pem.as_bytes(), 0o600).await;
    written.map_err(NodeIdentityError::Write)
}

/// Puts the key of the certificate in its place, and the place of the next one in order.
pub(crate) async fn settle_key(
    host: &dyn Files,
    folder: &str,
    credentials: &Credentials,
) -> Result<(), NodeIdentityError> {
    let key = credentials.key_pem.expose().as_bytes();
    let written = host.write(&path(folder, KEY), key, 0o600).await;
    written.map_err(NodeIdentityError::Write)?;
    let removed = host.remove(&path(folder, NEXT_KEY)).await;
    removed.map_err(NodeIdentityError::Write)
}

/// Takes the identity away: the certificate first, so that a crash leaves no half that is believed, then
/// whatever else is in the folder. Says whether there was anything.
pub async fn remove(host: &dyn Files, folder: &str) -> Result<bool, NodeIdentityError> {
    let names = host.list(folder).await.map_err(NodeIdentityError::Read)?;
    let rest = names.iter().map(String::as_str).filter(|name| *name != CHAIN);
    for name in std::iter::once(CHAIN).chain(rest) {
        host.remove(&path(folder, name)).await.map_err(NodeIdentityError::Remove)?;
    }
    Ok(!names.is_empty())
}

/// A file in the folder, as the host names files.
pub(crate) fn path(folder: &str, name: &str) -> String {
    PathBuf::from(folder).join(name).to_string_lossy().into_owned()
}

/// A text that may be a secret; `None` where there is no such file.
pub(crate) async fn read(
    host: &dyn Files,
    path: &str,
) -> Result<Option<Secret>, NodeIdentityError> {
    let Some(content) = host.read(path).await.map_err(NodeIdentityError::Read)? else {
        return Ok(None);
    };
    let text = String::from_utf8(content).ok().map(Secret::new);
    text.map(Some).ok_or_else(|| NodeIdentityError::Text { path: path.to_owned() })
}

async fn part(host: &dyn Files, folder: &str, name: &str) -> Result<Secret, NodeIdentityError> {
    let path = path(folder, name);
    read(host, &path).await?.ok_or(NodeIdentityError::Missing { path })
}
