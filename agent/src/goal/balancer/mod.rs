//! Goals of the load balancer before the API servers, and what they ask of the program that it is.

mod backends_up;
mod haproxy;
mod load_balancer;

use async_trait::async_trait;
use quorate_proto::goal::{BalancerGoal, LoadBalancer};

use self::backends_up::BackendsUp;
use self::haproxy::HaProxy;
use super::ensure_each;
use crate::host::{Host, HostError};

/// The program that balances on this node.
pub(in crate::goal) const BALANCER: &dyn Balancer = &HaProxy;

ensure_each!(BalancerGoal {
    Self::LoadBalancer(goal) => goal,
    Self::BackendsUp(goal) => BackendsUp(goal),
});

#[async_trait]
pub(in crate::goal) trait Balancer: Sync {
    /// Returns the name of its service, which is its package's too.
    fn unit(&self) -> &'static str;

    /// Returns where its configuration is.
    fn path(&self) -> &'static str;

    fn config(&self, goal: &LoadBalancer) -> Config;

    /// Fails where the program refuses this configuration.
    async fn try_out(&self, host: &dyn Host, config: &Config) -> Result<(), HostError>;

    /// Returns whether the program runs by this configuration. If it does not answer, it does not.
    async fn runs(&self, host: &dyn Host, config: &Config) -> Result<bool, HostError>;

    /// Returns the API servers that it balances over, as it finds them.
    async fn servers(&self, host: &dyn Host) -> Result<Vec<Server>, HostError>;
}

/// A whole configuration, and the description by which the running program can tell it from others.
pub(in crate::goal) struct Config {
    pub text: String,
    pub description: String,
}

/// An API server in the eyes of the load balancer.
pub(in crate::goal) struct Server {
    /// The node's name.
    pub name: String,
    /// In the program's own words.
    pub status: String,
    pub up: bool,
}
