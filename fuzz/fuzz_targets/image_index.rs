//! Indexes of layers, without the digest that closes them: what is read writes and reads back, and makes a sound image.
#![no_main]

use fuzz::flat_image;
use image::index::Index;
use image::layer::{BLOCK_BYTES, Change, Content, Entry, Inode};
use image::limits::Limits;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

/// Larger layers are not written: their data would have to be made up to read the image back.
const DATA_BLOCKS_MAX: u64 = 64;

fuzz_target!(|body: &[u8]| {
    let limits = Limits::default();
    let open = |bytes: Vec<u8>| {
        let len_bytes = bytes.len() as u64;
        Index::open(Box::new(bytes), len_bytes, &limits)
    };
    let _ = open(body.to_vec());
    let Ok(index) = open([body, Sha256::digest(body).as_slice()].concat()) else {
        return;
    };
    let entries: Vec<Entry> = index.entries().map(|entry| entry.expect("as checked").0).collect();
    let index = flat_image::index(&entries, index.data_blocks(), &limits);
    // Packed files need their inodes in the data, which is made up here.
    let is_packed = |entry: &Entry| matches!(&entry.change, Change::Put(Inode { content: Content::Packed(_), .. }));
    if index.data_blocks() <= DATA_BLOCKS_MAX && !entries.iter().any(is_packed) {
        let data = vec![0; usize::try_from(index.data_blocks() * BLOCK_BYTES).expect("a small number")];
        flat_image::check(&[(&index, &data)]);
        flat_image::check(&[(&index, &data), (&index, &data)]);
    }
});
