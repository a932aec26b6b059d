//! Indexes of layers, without the digest that closes them: what is read writes and reads back, and makes a sound image.
#![no_main]

use fuzz::flat_image;
use image::index::{encode, parse};
use image::layer::BLOCK_BYTES;
use image::limits::Limits;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

/// Larger layers are not written: their data would have to be made up to read the image back.
const DATA_BLOCKS_MAX: u64 = 64;

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    let _ = parse(body, &limits);
    let bytes = [body, Sha256::digest(body).as_slice()].concat();
    let Ok(index) = parse(&bytes, &limits) else { return };
    assert_eq!(parse(&encode(&index), &limits).as_ref(), Ok(&index));
    if index.data_blocks <= DATA_BLOCKS_MAX {
        let data = vec![0; usize::try_from(index.data_blocks * BLOCK_BYTES).expect("a small number")];
        flat_image::check(&[(&index, &data)]);
        flat_image::check(&[(&index, &data), (&index, &data)]);
    }
});
