//! The agent: checks and applies goals on the node that it runs on.

pub mod enrol;
pub mod facts;
pub mod goal;
pub mod host;
pub mod identity;
pub mod kubeadm;
pub mod progress;
