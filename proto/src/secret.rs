//! Secrets: what may cross the wire and live in memory, and must be in no log, plan, store or argv.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// A text that is never printed, and is overwritten when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into keeping.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What a node needs to join, minted for a run just before it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinMaterial {
    /// kubeadm's bootstrap token, `[a-z0-9]{6}.[a-z0-9]{16}`.
    pub token: Secret,
    /// Seals the shared certificates in the Secret kubeadm-certs: 64 hexadecimal digits.
    pub certificate_key: Secret,
    /// The cluster's certificate authority, PEM. Public, and only known once it was founded.
    pub ca_pem: Option<String>,
}

impl JoinMaterial {
    /// The public half of the token, which names its Secret in the cluster.
    pub fn token_id(&self) -> &str {
        self.token.expose().split_once('.').map_or("", |(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let material = JoinMaterial {
            token: Secret::new("abcdef.0123456789abcdef".to_owned()),
            certificate_key: Secret::new("f".repeat(64)),
            ca_pem: None,
        };
        let printed = format!("{material:?}");
        assert!(!printed.contains("0123456789") && !printed.contains("ffff"), "{printed}");
        assert_eq!(material.token_id(), "abcdef");
    }
}
