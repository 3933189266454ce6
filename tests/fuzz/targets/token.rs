//! Join tokens, as people paste them: what reads prints as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quorate_proto::trust::JoinToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<JoinToken>() {
        let printed = token.to_text();
        assert_eq!(printed.expose(), text);
    }
});
