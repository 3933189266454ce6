//! The agent's ledger after whatever happened to its disk: what reads is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_agent::ledger::Content;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(content) = serde_json::from_slice::<Content>(bytes) {
        let written = serde_json::to_vec(&content).unwrap();
        assert_eq!(serde_json::from_slice::<Content>(&written).unwrap(), content);
    }
});
