//! Compressed layers: whatever the first bytes claim, reading ends, and a plain stream comes out as it went in.
#![no_main]

use std::io::Read;

use image::decompress::{Compression, open};
use libfuzzer_sys::fuzz_target;

/// Compressed bytes can stand for a thousand times as many.
const READ_BYTES_MAX: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut decompressor) = open(bytes) else { return };
    let mut plain = Vec::new();
    let read = decompressor.by_ref().take(READ_BYTES_MAX).read_to_end(&mut plain);
    if decompressor.compression() == Compression::Plain {
        assert_eq!(
            (read.expect("nothing can fail"), plain.as_slice()),
            (bytes.len(), bytes)
        );
    }
});
