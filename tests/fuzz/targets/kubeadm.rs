//! What kubeadm writes and prints, as the agent reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_agent::kubeadm::{failures, kubeconfig::Kubeconfig, pki};

fuzz_target!(|bytes: &[u8]| {
    Kubeconfig::parse(bytes).ok();
    let text = String::from_utf8_lossy(bytes);
    failures::advice(text.lines());
    pki::authority(&text).ok();
});
