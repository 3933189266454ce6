//! Guards: what stands against a plan before a single step of it is looked at. Pure.

pub(super) mod immutable;
pub(super) mod in_use;
