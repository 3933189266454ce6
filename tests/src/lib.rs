//! What the tests of the whole share: a simulated cluster, runs in the lab, and what processes take.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod lab;
pub mod process;
pub mod scenario;
pub mod sim;
