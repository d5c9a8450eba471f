//! Any bytes are blocks, and then perhaps an error that names the next block and its first byte.

#![no_main]

use blockloom_fuzz::read_any_blocks;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    read_any_blocks(bytes);
});
