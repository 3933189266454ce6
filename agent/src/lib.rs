//! The agent: checks and applies goals on the node that it runs on.

pub mod access;
pub mod audit;
pub mod caller;
pub mod cli;
mod clients;
pub mod daemon;
pub mod enrol;
pub mod execute;
pub mod executor;
pub mod facts;
pub mod failure;
pub mod goal;
pub mod host;
pub mod identity;
pub mod kubeadm;
pub mod kubeadm_paths;
pub mod ledger;
pub mod local;
pub mod operation;
pub mod progress;
pub mod serve;
pub mod server;
pub mod settings;
pub mod trust;
pub mod work;
pub mod worker;
