//! A new certificate for a new key, while the listener goes on.
//!
//! The key is on the disk before its certificate is asked for, and the certificate before it is shown.
//! Whatever is cut off, the same two calls go on with the same key.

use std::sync::Arc;

use quorate_proto::audit::Own;
use quorate_proto::in_one_line;
use quorate_proto::trust::{KeyDigest, NodeKey, TrustError, server_config_with};
use rustls::pki_types::CertificateDer;

use super::record::record;
use super::{NotRecorded, Trust};
use crate::caller::Caller;
use crate::identity::{NodeIdentityError, keep_next_key, keep_renewed, next_key, settle_key};

/// The certificate stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("no renewal was begun here; run `quorate trust renew` again")]
    NotBegun,
    #[error("the new certificate is not taken")]
    Refused(#[source] TrustError),
    #[error("making a new key")]
    Key(#[source] TrustError),
    #[error("it is not in the audit log, so it is not done")]
    Unrecorded(#[from] NotRecorded),
    #[error(transparent)]
    Keep(#[from] NodeIdentityError),
}

impl Trust {
    /// What new connections are shown, DER.
    pub fn certificate(&self) -> Result<CertificateDer<'static>, TrustError> {
        self.credentials.load().certificate()
    }

    /// A certificate request for the next key, which is made at the first call and kept until its
    /// certificate comes.
    pub async fn begin_renewal(&self) -> Result<Vec<u8>, RenewError> {
        let _alone = self.changing.lock().await;
        let (host, folder) = (&*self.host, self.folder.as_str());
        let current = self.credentials.load_full();
        let own = current.key_digest().map_err(RenewError::Key)?;
        if let Some(key) = next_key(host, folder).await? {
            if key.key_digest() != own {
                return key.request().map_err(RenewError::Key);
            }
            // The renewal before was cut off at its very end: nowhere else is the key that serves now.
            settle_key(host, folder, &current).await?;
        }
        let key = NodeKey::generate().map_err(RenewError::Key)?;
        keep_next_key(host, folder, &key).await?;
        key.request().map_err(RenewError::Key)
    }

    /// Keeps the certificate of the key that waits for it, and shows it to new connections. One that is
    /// at work already is no error.
    pub async fn finish_renewal(
        &self,
        caller: &Caller,
        chain: &[CertificateDer<'static>],
    ) -> Result<(), RenewError> {
        let _alone = self.changing.lock().await;
        let (host, folder) = (&*self.host, self.folder.as_str());
        let current = self.credentials.load_full();
        let told = chain.first().and_then(|leaf| KeyDigest::of_certificate(leaf).ok());
        if told.is_some() && told == current.key_digest().ok() {
            return Ok(());
        }
        let key = next_key(host, folder).await?.ok_or(RenewError::NotBegun)?;
        let policy = self.policy.load_full();
        let next = current.renewed(&key, chain, &policy.bundle().node_roots_pem());
        let next = next.map_err(RenewError::Refused)?;
        let config = server_config_with(&next, &policy).map_err(RenewError::Refused)?;
        record(&*self.executor, caller, Own::Certificate { key: key.key_digest().into() }).await?;
        keep_renewed(host, folder, &next).await?;
        self.credentials.store(Arc::new(next.clone()));
        self.config.store(Arc::new(config));
        tracing::info!(key = %key.key_digest(), "shows a new certificate");
        // The identity is whole as it lies there: what fails here is done by the next renewal.
        if let Err(error) = settle_key(host, folder, &next).await {
            tracing::warn!("tidying up after the renewal: {}", in_one_line(&error));
        }
        Ok(())
    }
}
