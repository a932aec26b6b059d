//! Layers, from the tar stream to the flat image. The sums in the headers are put right first.
#![no_main]

use std::io::Read;

use fuzz::sealed::sealed;
use fuzz::{flat_image, scratch};
use image::index;
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
    let Ok(index) = convert(sealed(bytes).as_slice(), &mut file, &limits) else {
        return;
    };
    assert_eq!(index::parse(&index::encode(&index), &limits).as_ref(), Ok(&index));
    let mut data = Vec::new();
    std::io::Seek::rewind(&mut file).expect("a regular file");
    file.read_to_end(&mut data).expect("what was written");
    assert_eq!(data.len() as u64, index.data_blocks * BLOCK_BYTES);
    flat_image::check(&[(&index, &data)]);
    flat_image::check(&[(&index, &data), (&index, &data)]);
});
