//! Any bytes as a file of encoded blocks, and what its reader promises of them.

use std::io::Cursor;

use blockloom_fixtures::{BlockReader, Chain};

/// Reads `bytes` as a file of encoded blocks, and returns how many there are.
///
/// # Panics
///
/// If the blocks do not follow each other without a gap, an error does not name the block after the last whole one and its
/// first byte, or fewer or more blocks are counted than read.
pub fn read_any_blocks(bytes: &[u8]) -> u64 {
    let reader = || BlockReader::new("file", Cursor::new(bytes)).expect("bytes in memory can be read");
    let (mut count, mut end, mut read) = (0, 0, Vec::new());
    for block in reader() {
        match block {
            Ok(block) => {
                assert_eq!((block.position.get(), block.position.byte()), (count, Some(end)));
                (count, end) = (count + 1, end + block.rlp.len() as u64);
                let _ = Chain::decode(&block.rlp);
                read.extend_from_slice(&block.rlp);
            }
            Err(error) => {
                let place = format!("file: blocks[{count}]: the block from byte {end} on: ");
                assert!(error.to_string().starts_with(&place), "{place}: {error}");
            }
        }
    }
    // A file in gzip starts with another byte than a block.
    assert!(
        read.is_empty() || bytes[0] == 0x1f || bytes.starts_with(&read),
        "the blocks are not those of the file"
    );
    assert_eq!(reader().count_blocks(), count as u64);
    count as u64
}
