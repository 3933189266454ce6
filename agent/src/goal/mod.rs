//! What it takes to check a goal and to make it hold: a folder for each family of goals, and in it a
//! module for each goal.

mod balancer;
mod cluster;
mod etcd;
mod host;
mod kubeadm;
mod own_file;
mod replacement;
mod runtime;
#[cfg(test)]
mod tests;
mod wait;

use async_trait::async_trait;
use quorate_proto::{Finding, Goal};

use crate::host::{Host, HostError};
pub use crate::work::Work;

/// A goal that this node can check and apply: the goal's own type where its data are its own.
#[async_trait]
pub trait Ensure: Send + Sync {
    /// Reports every difference from the goal, changing nothing.
    async fn check(&self, host: &dyn Host) -> Result<Finding, HostError>;

    /// Moves the host towards the goal; safe to run again after an interruption at any point.
    async fn apply(&self, host: &dyn Host, work: &Work<'_>) -> Result<(), HostError>;
}

/// What checks and applies this goal.
pub fn of(goal: &Goal) -> &dyn Ensure {
    goal
}

/// Makes a family of goals ensured, each by what stands beside it.
macro_rules! ensure_each {
    ($family:ty { $($goal:pat => $ensure:expr,)+ }) => {
        #[async_trait::async_trait]
        impl crate::goal::Ensure for $family {
            async fn check(
                &self,
                host: &dyn crate::host::Host,
            ) -> Result<quorate_proto::Finding, crate::host::HostError> {
                match self { $($goal => $ensure.check(host).await,)+ }
            }

            async fn apply(
                &self,
                host: &dyn crate::host::Host,
                work: &crate::goal::Work<'_>,
            ) -> Result<(), crate::host::HostError> {
                match self { $($goal => $ensure.apply(host, work).await,)+ }
            }
        }
    };
}
use ensure_each;

ensure_each!(Goal {
    Self::Host(goal) => goal,
    Self::Runtime(goal) => goal,
    Self::Balancer(goal) => goal,
    Self::Etcd(goal) => goal,
    Self::Kubeadm(goal, node) => kubeadm::OnNode(*goal, node),
    Self::Cluster(goal) => goal,
});
