//! kubeadm as the agent drives it: the configuration it reads, the phases it runs, the files it
//! leaves, and what its failures mean. Which phase when is for the goals.

pub mod config;
pub mod dialect;
pub mod etcd_log;
pub mod failures;
pub mod journal;
pub mod kubeconfig;
pub mod manifest;
pub mod phase;
pub mod pki;
pub mod render;
#[cfg(test)]
pub(crate) mod sample;

use std::collections::BTreeMap;

pub use crate::kubeadm_paths::*;

/// The arguments in a kubeadm-flags.env.
pub fn kubelet_flags(file: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(file);
    let line = text.lines().find_map(|line| line.strip_prefix("KUBELET_KUBEADM_ARGS="));
    let words = line.unwrap_or_default().trim_matches('"').split_whitespace();
    manifest::args(words)
}
