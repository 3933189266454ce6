//! Names of the parties, as their certificates carry them: one URI, read strictly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::role::{NoSuchRole, Role};
use crate::id::NodeName;

/// Longest identity that is read, in bytes.
const MAX_LEN: usize = 200;

/// A text is not an identity of ours. Certificates with such a text are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("{0:?} is not an identity: urn:quorate:site:<uuid>:node:<name> is one")]
    Grammar(String),
    #[error("an operator's name has 1 to 63 characters of a-z, 0-9 and '-', {0:?} does not")]
    Operator(String),
    #[error(transparent)]
    Role(#[from] NoSuchRole),
    #[error("the certificate carries {0} URI names; an identity is exactly one")]
    Count(usize),
    #[error("the certificate cannot be read")]
    Unreadable,
}

/// A site: one coordinator's state and every node that enrolled with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteId(pub Uuid);

impl SiteId {
    /// A new site, unlike any other.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for SiteId {
    type Err = IdentityError;

    /// Takes the printed form alone: lower case, with hyphens.
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let site = Uuid::try_parse(text).ok().map(Self);
        let site = site.filter(|site| site.to_string() == text);
        site.ok_or_else(|| IdentityError::Grammar(text.to_owned()))
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// Who gives orders, for records.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

impl OperatorName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for OperatorName {
    type Error = IdentityError;

    fn try_from(name: &str) -> Result<Self, IdentityError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let good = (1..=63).contains(&name.len())
            && name.chars().all(|c| plain(c) || c == '-')
            && name.starts_with(plain)
            && name.ends_with(plain);
        if good { Ok(Self(name.to_owned())) } else { Err(IdentityError::Operator(name.to_owned())) }
    }
}

impl TryFrom<String> for OperatorName {
    type Error = IdentityError;

    fn try_from(name: String) -> Result<Self, IdentityError> {
        name.as_str().try_into()
    }
}

impl From<OperatorName> for String {
    fn from(name: OperatorName) -> Self {
        name.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A party within its site.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The agent of a node.
    Node(NodeName),
    /// Someone who may ask of every node of the site what the role allows.
    Operator { name: OperatorName, role: Role },
    /// The coordinator, where nodes enrol.
    Coordinator,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node {name}"),
            Self::Operator { name, role } => write!(f, "operator {name} ({role})"),
            Self::Coordinator => f.write_str("the coordinator"),
        }
    }
}

/// A party: `urn:quorate:site:<uuid>:node:<name>`, `…:operator:<name>:role:<role>` or
/// `…:coordinator`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub site: SiteId,
    pub who: Who,
}

impl Identity {
    /// The DNS name beside the URI, for SNI and for tools that know no URI names.
    pub fn dns_name(&self) -> String {
        let site = self.site;
        match &self.who {
            Who::Node(name) => format!("{name}.node.{site}.quorate.internal"),
            Who::Operator { name, .. } => format!("{name}.operator.{site}.quorate.internal"),
            Who::Coordinator => format!("coordinator.{site}.quorate.internal"),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let error = || IdentityError::Grammar(text.chars().take(MAX_LEN).collect());
        let rest = text.strip_prefix("urn:quorate:site:").ok_or_else(error)?;
        if text.len() > MAX_LEN {
            return Err(error());
        }
        let parts: Vec<&str> = rest.split(':').collect();
        let (site, who) = match parts.as_slice() {
            [site, "node", name] => {
                (site, Who::Node(NodeName::try_from(*name).ok().ok_or_else(error)?))
            }
            [site, "operator", name, "role", role] => {
                let name = OperatorName::try_from(*name)?;
                (site, Who::Operator { name, role: role.parse()? })
            }
            [site, "coordinator"] => (site, Who::Coordinator),
            _ => return Err(error()),
        };
        Ok(Self { site: site.parse()?, who })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "urn:quorate:site:{}:", self.site)?;
        match &self.who {
            Who::Node(name) => write!(f, "node:{name}"),
            Who::Operator { name, role } => write!(f, "operator:{name}:role:{role}"),
            Who::Coordinator => f.write_str("coordinator"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "7f4df1f0-96f1-4a5d-8ac9-0cf1f4f7a001";

    #[test]
    fn an_identity_reads_back_as_it_prints() {
        for tail in
            ["node:cp-1", "node:n1.example.org", "operator:alice:role:viewer", "coordinator"]
        {
            let text = format!("urn:quorate:site:{SITE}:{tail}");
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_but_the_printed_form_is_refused() {
        let upper = SITE.to_uppercase();
        let plain = SITE.replace('-', "");
        let long = format!("urn:quorate:site:{SITE}:operator:{}:role:admin", "a".repeat(200));
        let tails = [
            "node:CP-1",
            "node:",
            "node:a:operator:b",
            "operator:a",
            "operator:a:role:",
            "operator:a:role:root",
            "operator:a:role:Admin",
            "operator:a:role:admin:",
            "operator:a:role:admin.",
            "operator:a:role:admin\0",
            "operator:a:role:viewer:role:admin",
            "operator:a:role:viewer,admin",
            "operator:a.b:role:admin",
            "operator:a%20b:role:admin",
            "operator:-a:role:admin",
            "coordinator:x",
            "coordinator ",
            "admin:a",
            "",
        ];
        let mut texts: Vec<String> =
            tails.iter().map(|tail| format!("urn:quorate:site:{SITE}:{tail}")).collect();
        texts.extend([
            format!("urn:quorate:site:{upper}:coordinator"),
            format!("urn:quorate:site:{plain}:coordinator"),
            format!("URN:quorate:site:{SITE}:coordinator"),
            long,
        ]);
        for text in texts {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }
}
