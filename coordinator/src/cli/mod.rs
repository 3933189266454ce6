//! The command line: one file a command.

pub mod init;
pub mod node;
pub mod serve;
pub mod spec;
