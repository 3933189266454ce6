//! Whom this node trusts and what it proves itself with: the newest bundle and the newest certificate
//! that it was given, on its disk and at work.
//!
//! The handshake asks the bundle, and each call again. What is new is in the audit log and on the disk
//! before it counts.

mod record;
mod renewal;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use quorate_proto::audit::Own;
use quorate_proto::trust::{
    BundleError, Credentials, Policy, SignedBundle, TrustBundle, TrustError, server_config_with,
};
pub use record::NotRecorded;
pub use renewal::RenewError;
use rustls::ServerConfig;
pub use service::{TrustService, service};
use tokio::sync::{Mutex, watch};

use crate::access::Access;
use crate::caller::Caller;
use crate::executor::Execute;
use crate::host::{Host, HostError};
use crate::identity::{BUNDLE, NodeIdentity, path};

/// Trust and identity of this node, as its listener uses them.
pub struct Trust {
    host: Arc<dyn Host>,
    /// Has the audit log.
    executor: Arc<dyn Execute>,
    folder: String,
    credentials: ArcSwap<Credentials>,
    policy: Arc<ArcSwap<Policy>>,
    config: Arc<ArcSwap<ServerConfig>>,
    /// Tells open streams that they have to ask again.
    changed: watch::Sender<u64>,
    /// One change at a time, disk included.
    changing: Mutex<()>,
}

/// A bundle was not put to work.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("the trust bundle is not taken")]
    Refused(#[from] BundleError),
    #[error("preparing TLS with the bundle's roots")]
    Tls(#[from] TrustError),
    #[error("writing down that a newer trust bundle comes")]
    Unrecorded(#[from] NotRecorded),
    #[error("keeping the trust bundle; see that the node's disk has room and is writable")]
    Keep(#[from] HostError),
}

impl Trust {
    /// As the node left it: with the bundle on its disk, or with the roots of its enrolment.
    pub fn open(
        host: Arc<dyn Host>,
        executor: Arc<dyn Execute>,
        folder: &str,
        identity: NodeIdentity,
    ) -> Result<Self, TrustError> {
        let NodeIdentity { site, credentials, node_root_pem, bundle, .. } = identity;
        let kept = if bundle.is_empty() {
            TrustBundle::of_enrolment(site, credentials.peer_roots_pem.clone(), node_root_pem)
        } else {
            // Its signature was looked at before it was kept: who signed it may be trusted no more.
            let signed = SignedBundle::from_json(&bundle);
            signed.and_then(|signed| signed.read()).map_err(TrustError::Bundle)?
        };
        if kept.site != site {
            return Err(TrustError::OtherSite { expected: site, found: kept.site });
        }
        let policy = Arc::new(Policy::new(kept));
        let config = server_config_with(&credentials, &policy)?;
        let (changed, _) = watch::channel(policy.bundle().generation);
        Ok(Self {
            host,
            executor,
            folder: folder.to_owned(),
            credentials: ArcSwap::from_pointee(credentials),
            policy: Arc::new(ArcSwap::new(policy)),
            config: Arc::new(ArcSwap::from_pointee(config)),
            changed,
            changing: Mutex::new(()),
        })
    }

    /// For the listener: what the next handshake uses.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.config)
    }

    /// For the services: what each call asks.
    pub fn access(&self) -> Access {
        Access::new(Arc::clone(&self.policy), self.changed.subscribe())
    }

    /// Of the bundle that is kept.
    pub fn generation(&self) -> u64 {
        self.policy.load().bundle().generation
    }

    /// Keeps a newer bundle and puts it to work. One that is kept already is no error.
    pub async fn put(&self, caller: &Caller, json: &str) -> Result<u64, PutError> {
        let _alone = self.changing.lock().await;
        let signed = SignedBundle::from_json(json)?;
        let policy = self.policy.load_full();
        if signed.read()? == *policy.bundle() {
            return Ok(policy.bundle().generation);
        }
        let policy = Arc::new(Policy::new(policy.bundle().accept(&signed)?));
        let config = server_config_with(&self.credentials.load(), &policy)?;
        let own = Own::Bundle { generation: policy.bundle().generation };
        record::record(&*self.executor, caller, own).await?;
        let file = path(&self.folder, BUNDLE);
        self.host.write(&file, signed.to_json().as_bytes(), 0o600).await?;
        let generation = policy.bundle().generation;
        self.policy.store(policy);
        self.config.store(Arc::new(config));
        self.changed.send_replace(generation);
        tracing::info!(generation, "keeps a newer trust bundle");
        Ok(generation)
    }
}
