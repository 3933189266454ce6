//! A cluster by seed: it keeps running when its coordinator dies, and faults happen to it.
//!
//! Goals are modelled, not machines: what a goal changes, and what its check then finds. The
//! coordinator round it is the real one but for its driver: outline, pending and engine.

mod agent;
mod cluster;
mod coordinator;
mod random;
mod spec;
mod truth;

pub use cluster::SimCluster;
pub use coordinator::{End, Log, Rules, apply, observe, plan};
pub use random::Random;
pub use spec::{name, sample};
