//! A cluster by seed: it keeps running when its coordinator dies, and faults happen to it.
//!
//! Goals are modelled, not machines: what a goal changes, and what its check then finds. The
//! coordinator round it is the real one but for its driver: outline, pending and engine.

mod agent;
mod case;
mod coordinator;
mod etcd;
mod facts;
mod faults;
mod invariants;
mod look;
mod network;
mod node;
mod random;
mod rules;
mod secrets;
mod spec;
mod truth;
mod world;

pub use case::{Tally, Violation, explore, replay, violations};
pub use coordinator::{End, Log, apply, observe, plan};
pub use faults::Weather;
pub use random::Random;
pub use rules::Rules;
pub use spec::{name, sample};
pub use world::SimCluster;
