//! A Kubernetes version, such as v1.35.4.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not a Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a Kubernetes version: write it as v1.35.4")]
pub struct VersionError(String);

/// A released version of Kubernetes. Written with a leading `v`, read with or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl KubernetesVersion {
    /// The minors that quorate drives: kubeadm below 1.33 has no `etcd-join` phase of its own by
    /// default, and above 1.36 nothing was tried.
    pub const MINORS: std::ops::RangeInclusive<u16> = 33..=36;

    /// Whether quorate drives this version.
    pub fn supported(&self) -> bool {
        self.major == 1 && Self::MINORS.contains(&self.minor)
    }
}

impl FromStr for KubernetesVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut part = || -> Option<u16> {
            let part = parts.next()?;
            let canonical = part == "0" || !part.starts_with(['0', '+']);
            if canonical { part.parse().ok() } else { None }
        };
        let (major, minor, patch) =
            (part().ok_or_else(error)?, part().ok_or_else(error)?, part().ok_or_else(error)?);
        if parts.next().is_some() { Err(error()) } else { Ok(Self { major, minor, patch }) }
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_strictly() {
        assert_eq!("v1.35.4".parse::<KubernetesVersion>().unwrap().to_string(), "v1.35.4");
        assert_eq!("1.33.0".parse::<KubernetesVersion>().unwrap().to_string(), "v1.33.0");
        for bad in ["1.35", "v1.35.4.1", "v1.35.x", "v1.035.4", "", "latest", "v1.35.4-rc.1"] {
            assert!(bad.parse::<KubernetesVersion>().is_err(), "{bad}");
        }
    }
}
