//! Where trust stands: everything that was signed, until when it holds, and what the nodes keep.

use std::time::SystemTime;

use quorate_proto::NodeName;
use quorate_proto::trust::{Role, SiteId, read_leaf};
use serde::Serialize;

use super::renewal::past;
use super::{Phase, Site, SiteError};
use crate::fleet::{FleetError, NodeTrust, Statuses};
use crate::store::CertificateState;

/// What `quorate trust status` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustStanding {
    pub site: SiteId,
    /// Of the site's own bundle.
    pub generation: u64,
    /// A change of roots is under way.
    pub rotates: bool,
    /// How many entries its deny list has.
    pub denied: usize,
    pub authorities: Vec<Ending>,
    /// Every certificate that a node was given.
    pub nodes: Vec<NodeStanding>,
    pub operators: Vec<OperatorStanding>,
    /// The nodes of the specification.
    pub kept: Vec<Kept>,
}

/// Something that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    pub name: &'static str,
    /// Seconds since 1970.
    pub ends: i64,
}

/// A certificate of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStanding {
    pub node: NodeName,
    pub state: CertificateState,
    pub key: String,
    pub issued: i64,
    pub ends: i64,
}

/// A certificate of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStanding {
    pub name: String,
    pub role: Role,
    pub key: String,
    pub issued: i64,
    pub ends: i64,
}

/// What a node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    pub node: NodeName,
    /// `None` where it did not say.
    pub generation: Option<u64>,
    /// The certificate that it shows, where it says so.
    pub certificate: Option<Shown>,
    /// Why not.
    pub why: Option<String>,
}

/// A certificate as the node itself shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub serial: String,
    /// Seconds since 1970.
    pub ends: i64,
    /// Two thirds of its life are over.
    pub renew: bool,
}

impl TrustStanding {
    /// From the site's records, and what the nodes answered.
    pub fn of(site: &Site, statuses: Statuses, now: SystemTime) -> Result<Self, SiteError> {
        let store = site.store()?;
        let (bundle, _) = site.bundle()?;
        let ends = site.roots.ends().map_err(SiteError::Trust)?;
        let nodes = store.node_certificates().map_err(SiteError::Store)?;
        let operators = store.operators().map_err(SiteError::Store)?;
        let shown = |certificate: Vec<u8>| {
            let (_, seen) = read_leaf(&certificate.into()).ok()?;
            let renew = past(&seen, 2, now);
            Some(Shown { serial: seen.serial, ends: seen.not_after, renew })
        };
        let kept = |(node, answer): (NodeName, Result<NodeTrust, FleetError>)| match answer {
            Ok(NodeTrust { generation, certificate }) => {
                let (generation, certificate) = (Some(generation), shown(certificate));
                Kept { node, generation, certificate, why: None }
            }
            Err(error) => {
                Kept { node, generation: None, certificate: None, why: Some(error.why()) }
            }
        };
        Ok(Self {
            site: site.id(),
            generation: bundle.generation,
            rotates: site.phase()? != Phase::Standby,
            denied: bundle.deny.len(),
            authorities: ends.into_iter().map(|(name, ends)| Ending { name, ends }).collect(),
            nodes: nodes
                .into_iter()
                .map(|held| NodeStanding {
                    node: held.node,
                    state: held.state,
                    key: held.key.to_string(),
                    issued: held.issued_at,
                    ends: held.not_after,
                })
                .collect(),
            operators: operators
                .into_iter()
                .map(|held| OperatorStanding {
                    name: held.name.to_string(),
                    role: held.role,
                    key: held.key.to_string(),
                    issued: held.issued_at,
                    ends: held.not_after,
                })
                .collect(),
            kept: statuses.into_iter().map(kept).collect(),
        })
    }
}
