//! The roles that nodes were enrolled with, against those that the specification gives them.

use crate::plan::Blocked;
use crate::spec::{ClusterSpec, Role};
use crate::store::{TokenRecord, role_text};

/// What stands against every plan: a control plane gets the keys of the cluster, so a person has to
/// have enrolled it as one.
pub(super) fn enrolled_as_less(spec: &ClusterSpec, spent: &[TokenRecord]) -> Vec<String> {
    let is_control_plane = |token: &&TokenRecord| {
        spec.with_role(Role::ControlPlane).any(|node| node.name == token.node)
    };
    let less = spent.iter().filter(|token| token.role != Role::ControlPlane);
    let blocked = less.filter(is_control_plane).flat_map(|token| {
        Blocked::LetInAsLess { node: token.node.clone(), said: role_text(token.role) }.reasons()
    });
    blocked.collect()
}
