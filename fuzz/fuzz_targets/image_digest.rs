//! Digests: a text that is one is shown as it was written, and bytes have the digest that a reader finds.
#![no_main]

use std::io;

use image::digest::{Digest, HashingReader, verify, verify_result};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(digest) = Digest::parse(text) {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::from_hex(&digest.hex()), Some(digest));
        assert!(verify(text.as_bytes(), digest, text.len() as u64).is_err());
    }
    let digest = Digest::of(text.as_bytes());
    let mut reader = HashingReader::new(text.as_bytes());
    io::copy(&mut reader, &mut io::sink()).expect("nothing can fail");
    verify_result(reader.finish(), digest, text.len() as u64).expect("the same bytes");
});
