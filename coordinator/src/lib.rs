//! The coordinator: reads a specification, works out what is missing, and sequences it over the agents.

pub mod cli;
pub mod fleet;
pub mod plan;
pub mod spec;
