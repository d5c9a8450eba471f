//! Any text is a genesis, or an error that names the file.

#![no_main]

use std::path::Path;

use blockloom_fixtures::Genesis;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Genesis::from_text(Path::new("genesis.json"), text) {
        assert!(error.to_string().starts_with("genesis.json: "), "{error}");
    }
});
