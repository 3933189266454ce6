//! The agent: checks and applies goals on the node that it runs on.

pub mod facts;
pub mod failure;
pub mod goal;
pub mod host;
pub mod ledger;
pub mod operation;
pub mod progress;
pub mod worker;
