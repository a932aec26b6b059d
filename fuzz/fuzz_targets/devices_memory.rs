//! Requests of a virtio-mem driver: blocks that are taken lie in the usable part of the region.
#![no_main]

use devices::memory::region::{BLOCK_BYTES, Region};
use devices::memory::request::{REQUEST_BYTES, Request, parse};
use libfuzzer_sys::fuzz_target;

/// The largest numbers of blocks and starts that a request can tell apart from larger ones.
const BLOCKS_MAX: u64 = 1 << 17;

fuzz_target!(|input: (u64, u64, u64, &[u8])| {
    let (start, blocks, requested, bytes) = input;
    let blocks = blocks % BLOCKS_MAX;
    let region = Region {
        start: start / BLOCK_BYTES / 2 * BLOCK_BYTES,
        bytes: blocks * BLOCK_BYTES,
        requested_bytes: requested % (blocks + 1) * BLOCK_BYTES,
    };
    let usable_bytes = region.usable_bytes();
    assert!(region.requested_bytes <= usable_bytes && usable_bytes <= region.bytes);
    match parse(bytes, region) {
        Ok(Request::Plug(range) | Request::Unplug(range) | Request::State(range)) => {
            assert!(!range.is_empty() && range.end as u64 * BLOCK_BYTES <= usable_bytes);
            let address = region.start + range.start as u64 * BLOCK_BYTES;
            assert_eq!(bytes[8..16], address.to_le_bytes());
            assert_eq!(
                bytes[16..18],
                u16::try_from(range.len())
                    .expect("as many as were asked for")
                    .to_le_bytes()
            );
        }
        Ok(Request::UnplugAll) => assert!(bytes.len() >= REQUEST_BYTES),
        Err(_) => {}
    }
});
