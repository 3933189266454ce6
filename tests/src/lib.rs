//! What the tests of the whole share: a simulated cluster.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod lab;
pub mod scenario;
pub mod sim;
