//! What comes with an order beside its goal.

use quorate_proto::JoinMaterial;

use crate::progress::Progress;

/// What an apply is given beside the host.
#[derive(Debug)]
pub struct Work<'a> {
    pub progress: &'a Progress,
    /// Came with the order, for this operation alone.
    pub material: Option<&'a JoinMaterial>,
}
