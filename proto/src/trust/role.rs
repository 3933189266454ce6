//! What operators may ask of an agent: every call, and the least role that may make it, in one table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::goal::Goal;

/// What an operator may do. A later one may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Looks, and changes nothing.
    Viewer,
    /// Builds clusters and mends them.
    Operator,
    /// Takes away, is given secrets, and says who is trusted.
    Admin,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The name, as identities and commands have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// As in "alice is a viewer".
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Viewer => "a viewer",
            Self::Operator => "an operator",
            Self::Admin => "an admin",
        }
    }
}

/// A text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: viewer, operator and admin are")]
pub struct NoSuchRole(String);

impl FromStr for Role {
    type Err = NoSuchRole;

    fn from_str(text: &str) -> Result<Self, NoSuchRole> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| NoSuchRole(text.to_owned()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that an agent may be asked. A method whose meaning depends on what it carries is here
/// once for each meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Describe as a mere look.
    Describe,
    /// Describe that takes the right to give orders.
    Claim,
    Check,
    /// Ensure of a goal that builds or mends.
    Ensure,
    /// Ensure of a goal that takes something of the cluster away.
    Remove,
    Cancel,
    Kubeconfig,
    Audit,
    TrustStatus,
    PutBundle,
    BeginRenewal,
    FinishRenewal,
}

/// A line of the table.
struct Rule {
    method: &'static str,
    least: Role,
}

impl Right {
    /// Every call.
    pub const ALL: [Self; 12] = [
        Self::Describe,
        Self::Claim,
        Self::Check,
        Self::Ensure,
        Self::Remove,
        Self::Cancel,
        Self::Kubeconfig,
        Self::Audit,
        Self::TrustStatus,
        Self::PutBundle,
        Self::BeginRenewal,
        Self::FinishRenewal,
    ];

    /// The table.
    fn rule(self) -> Rule {
        let (method, least) = match self {
            Self::Describe => ("quorate.node.v1.Node/Describe", Role::Viewer),
            Self::Claim => ("quorate.node.v1.Node/Describe", Role::Operator),
            Self::Check => ("quorate.node.v1.Node/Check", Role::Viewer),
            Self::Ensure => ("quorate.node.v1.Node/Ensure", Role::Operator),
            Self::Remove => ("quorate.node.v1.Node/Ensure", Role::Admin),
            Self::Cancel => ("quorate.node.v1.Node/Cancel", Role::Operator),
            Self::Kubeconfig => ("quorate.node.v1.Node/Kubeconfig", Role::Admin),
            Self::Audit => ("quorate.node.v1.Node/Audit", Role::Admin),
            Self::TrustStatus => ("quorate.trust.v1.Trust/Status", Role::Admin),
            Self::PutBundle => ("quorate.trust.v1.Trust/PutBundle", Role::Admin),
            Self::BeginRenewal => ("quorate.trust.v1.Trust/BeginRenewal", Role::Admin),
            Self::FinishRenewal => ("quorate.trust.v1.Trust/FinishRenewal", Role::Admin),
        };
        Rule { method, least }
    }

    /// The least role that may make the call.
    pub fn least(self) -> Role {
        self.rule().least
    }

    /// The method, as `package.Service/Method`.
    pub fn method(self) -> &'static str {
        self.rule().method
    }

    /// The call that an operation for this goal is.
    pub fn of_order(goal: &Goal) -> Self {
        match goal.traits().least_role {
            Role::Viewer | Role::Operator => Self::Ensure,
            Role::Admin => Self::Remove,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Describe => "a look",
            Self::Claim => "the right to give orders",
            Self::Check => "a check",
            Self::Ensure => "an order",
            Self::Remove => "an order that takes something away",
            Self::Cancel => "the end of an operation",
            Self::Kubeconfig => "the admin kubeconfig",
            Self::Audit => "the audit log",
            Self::TrustStatus => "a look at whom the node trusts",
            Self::PutBundle => "a change of whom the node trusts",
            Self::BeginRenewal | Self::FinishRenewal => "a new certificate for the node",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every method of quorate's services, from the protocol's own description.
    const METHODS: &str = include_str!(concat!(env!("OUT_DIR"), "/methods.txt"));
    /// Enrolment, whoever dials: there a token is the right, and operators have none.
    const OPEN: &str = "quorate.enrol.v1.";

    #[test]
    fn every_method_of_the_protocol_has_a_rule() {
        let described: BTreeSet<&str> =
            METHODS.lines().filter(|method| !method.starts_with(OPEN)).collect();
        assert!(described.len() >= 5, "{METHODS}");
        let ruled: BTreeSet<&str> = Right::ALL.into_iter().map(Right::method).collect();
        assert_eq!(described, ruled);
    }

    #[test]
    fn a_later_role_may_do_all_that_an_earlier_one_may() {
        let may = |role| Right::ALL.into_iter().filter(move |right| right.least() <= role).count();
        assert!(may(Role::Viewer) > 0 && may(Role::Viewer) < may(Role::Operator));
        assert!(may(Role::Operator) < may(Role::Admin));
        assert_eq!(may(Role::Admin), Right::ALL.len());
    }
}
