//! A cluster by seed: it keeps running when its coordinator dies, and faults happen to it.
//!
//! Goals are modelled, not machines: what a goal changes, and what its check then finds. The
//! coordinator is the real one: what it asks for is answered here, and its time passes here.

mod agent;
mod answers;
mod case;
mod coordinator;
mod etcd;
mod facts;
mod faults;
mod invariants;
mod log;
mod network;
mod node;
mod random;
mod rules;
mod secrets;
mod spec;
mod truth;
mod world;

pub use answers::{observe, plan};
pub use case::{Tally, Violation, explore, replay, violations};
pub use coordinator::{End, apply};
pub use faults::Weather;
pub use log::Log;
pub use random::Random;
pub use rules::Rules;
pub use spec::{name, sample};
pub use world::SimCluster;
