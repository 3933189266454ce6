//! What it takes to check a goal and to make it hold. One module for each goal or family.

mod cluster;
mod kubeadm;
mod wait;

use async_trait::async_trait;
use quorate_proto::{Finding, JoinMaterial};

use crate::host::{Host, HostError};
use crate::progress::Progress;

/// A goal that this node can check and apply.
#[async_trait]
pub trait Ensure: Send + Sync {
    /// Reports every difference from the goal, changing nothing.
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError>;

    /// Moves the host towards the goal; safe to run again after an interruption at any point.
    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError>;
}

/// What an apply is given beside the host.
#[derive(Debug)]
pub struct Work<'a> {
    pub progress: &'a Progress,
    /// Came with the order, for this operation alone.
    pub material: Option<&'a JoinMaterial>,
}
