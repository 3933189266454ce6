//! The coordinator: reads a specification, works out what is missing, and sequences it over the agents.

pub mod cli;
pub mod driver;
pub mod engine;
pub mod fleet;
pub mod plan;
pub mod procedure;
pub mod run;
mod session;
pub mod site;
pub mod spec;
pub mod status;
pub mod store;
pub mod ui;
