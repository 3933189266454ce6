//! All tests of the whole in one binary, for one link.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, also where a function shared by tests does"
)]

mod attacks;
mod bad_days;
mod edits;
mod enrol;
mod house;
mod node_and_site;
mod plan;
mod removal;
mod renewal;
mod rotation;
mod scenarios;
mod sim;
mod timing;
