//! Goals of the load balancer before the API servers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::validate::{Invalid, few};
use crate::id::NodeName;

/// A goal of the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BalancerGoal {
    LoadBalancer(LoadBalancer),
    /// Every backend of the load balancer is up.
    BackendsUp(LoadBalancer),
}

/// HAProxy spreads the endpoint's port over the API servers, with exactly this configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// Where it listens, on all addresses.
    pub port: u16,
    pub health_check: HealthCheck,
    pub backends: Vec<Backend>,
}

/// How HAProxy tells whether an API server can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthCheck {
    /// `GET /readyz` over TLS every second: an API server without etcd is taken out.
    Readyz,
    /// The guide's `option tcp-check`: a port that accepts is up.
    Tcp,
}

/// One API server behind the load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    pub node: NodeName,
    pub address: IpAddr,
    pub port: u16,
}

impl BalancerGoal {
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        let (Self::LoadBalancer(goal) | Self::BackendsUp(goal)) = self;
        let LoadBalancer { port: _, health_check: _, backends } = goal;
        few("the list of backends", backends.len())
    }
}
