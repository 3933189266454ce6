//! cluster.yaml: any text gives a specification or problems that can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = quorate::spec::parse(text, "cluster.yaml", Path::new("/nonexistent")) {
        assert!(!problems.to_string().is_empty());
    }
});
