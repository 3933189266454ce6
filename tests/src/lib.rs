//! What the tests of the whole share: a simulated cluster.

pub mod scenario;
pub mod sim;
