//! Layers, from the tar stream to the flat image. The sums in the headers are put right first.
#![no_main]

use std::io::Read;

use fuzz::sealed::sealed;
use fuzz::{flat_image, scratch};
use image::erofs::packed_head;
use image::layer::{BLOCK_BYTES, convert};
use image::limits::Limits;
use libfuzzer_sys::fuzz_target;

fn limits() -> Limits {
    Limits {
        stream_bytes: 1 << 20,
        // More than is written at once: long holes go another way.
        data_bytes: 3 << 19,
        sparse_segments: 64,
        ..Limits::default()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = scratch::file(&[]).expect("a file in the directory for temporary ones");
    let limits = limits();
    let mut entries = Vec::new();
    let keep = |entry| {
        entries.push(entry);
        Ok(())
    };
    let Ok(data_blocks) = convert(sealed(bytes).as_slice(), &mut file, &limits, Some(packed_head), keep) else {
        return;
    };
    let index = flat_image::index(&entries, data_blocks, &limits);
    let mut data = Vec::new();
    std::io::Seek::rewind(&mut file).expect("a regular file");
    file.read_to_end(&mut data).expect("what was written");
    assert_eq!(data.len() as u64, data_blocks * BLOCK_BYTES);
    flat_image::check(&[(&index, &data)]);
    flat_image::check(&[(&index, &data), (&index, &data)]);
});
