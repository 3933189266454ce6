//! Whether a goal, an order or join material may be carried out at all: pure, and asked twice.
//!
//! The agent's front end asks where it reads a message; the executor, which is root, asks again and
//! believes nobody. What the types know already (names, addresses, digests, versions) is not asked here.

use super::Goal;
use super::grammar as is;
use crate::id::{OperationId, Term};
use crate::secret::JoinMaterial;

/// A value that no agent takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("{field} {value:?} is not {wanted}; correct the specification")]
    Text { field: &'static str, value: String, wanted: &'static str },
    /// Its value is not shown.
    #[error("{field} is not {wanted}; run the same command again, which makes a new one")]
    Secret { field: &'static str, wanted: &'static str },
    #[error("{field} has {count} items, and {most} are the most")]
    Many { field: &'static str, count: usize, most: usize },
    /// Of an enrolment alone, which nobody calls for.
    #[error("a trust bundle has a generation from 1")]
    Generation,
    #[error("the digest of the manifest {0} is not that of its text; run the same command again")]
    Digest(String),
}

/// How much of a wrong text a message shows.
const SHOWN: usize = 80;

pub(super) fn text(
    field: &'static str,
    value: &str,
    good: bool,
    wanted: &'static str,
) -> Result<(), Invalid> {
    if good {
        return Ok(());
    }
    let value = value.chars().take(SHOWN).collect();
    Err(Invalid::Text { field, value, wanted })
}

pub(super) fn few(field: &'static str, count: usize) -> Result<(), Invalid> {
    at_most(is::ITEMS, field, count)
}

pub(super) fn at_most(most: usize, field: &'static str, count: usize) -> Result<(), Invalid> {
    if count <= most { Ok(()) } else { Err(Invalid::Many { field, count, most }) }
}

impl Goal {
    /// Whether an agent looks at so many in one call, far above what any plan asks of a node.
    ///
    /// # Errors
    /// If they are too many.
    pub fn validate_count(count: usize) -> Result<(), Invalid> {
        few("the list of goals", count)
    }

    /// Whether an agent may look at it or make it hold.
    ///
    /// # Errors
    /// The first value that is not as its kind must be.
    pub fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Host(goal) => goal.validate(),
            Self::Runtime(goal) => goal.validate(),
            Self::Balancer(goal) => goal.validate(),
            Self::Etcd(goal) => goal.validate(),
            Self::Kubeadm(_, node) => node.validate(),
            Self::Cluster(goal) => goal.validate(),
        }
    }
}

impl JoinMaterial {
    /// Whether an agent may hand it to kubeadm.
    ///
    /// # Errors
    /// The first secret that is not as kubeadm makes it.
    pub fn validate(&self) -> Result<(), Invalid> {
        let secret = |field, good, wanted| {
            if good { Ok(()) } else { Err(Invalid::Secret { field, wanted }) }
        };
        let token = is::bootstrap_token(self.token.expose());
        secret("the bootstrap token", token, "of the form [a-z0-9]{6}.[a-z0-9]{16}")?;
        let key = is::certificate_key(self.certificate_key.expose());
        secret("the certificate key", key, "of 64 hexadecimal digits")?;
        let ca = self.ca_pem.as_deref().unwrap_or("none");
        let good = is::lines(ca, is::CERTIFICATE);
        text("the certificate authority", ca, good, "a PEM text of at most 64 KiB")
    }
}

impl OperationId {
    /// Whether an agent may keep it in its ledger.
    ///
    /// # Errors
    /// If it is no id.
    pub fn validate(&self) -> Result<(), Invalid> {
        text("the operation", &self.0, is::id(&self.0), ID)
    }
}

impl Term {
    /// Whether an agent may keep it in its ledger.
    ///
    /// # Errors
    /// If its run has no id.
    pub fn validate(&self) -> Result<(), Invalid> {
        text("the run", &self.run.0, is::id(&self.run.0), ID)
    }
}

const ID: &str = "an id of 1 to 64 letters, digits, '-', '.' and '_'";

pub(super) fn image(name: &str) -> Result<(), Invalid> {
    text("the image", name, is::image(name), "a name of letters, digits and './:@_-'")
}

pub(super) fn url(field: &'static str, address: &str) -> Result<(), Invalid> {
    // Not shown: a URL that cannot be read may hold a password.
    let shown = if address.contains('@') { "(not shown)" } else { address };
    text(field, shown, is::url(address), "a URL of http, https or file without a password")
}

#[cfg(test)]
mod tests;
