//! The coordinator: reads a specification, works out what is missing, and sequences it over the agents.

pub mod engine;
pub mod fleet;
pub mod plan;
pub mod spec;
