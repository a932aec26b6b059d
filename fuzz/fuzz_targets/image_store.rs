//! The store's own files, damaged: a record that is read writes and reads back, and names mean images that there are.
#![no_main]

use image::Digest;
use image::store::names::{Meaning, Names};
use image::store::record::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = Record::parse(bytes) {
        let written = record.to_json().expect("nothing but texts and numbers");
        assert_eq!(Record::parse(&written).expect("as written"), record);
        let _ = record.size_bytes();
    }
    if let Ok(names) = serde_json::from_slice::<Names>(bytes) {
        let word = String::from_utf8_lossy(bytes);
        let images = [Digest::of(b"one"), Digest::of(b"two")];
        if let Meaning::Image(image) = names.meaning(&word, &images) {
            assert!(images.contains(&image) || !names.of(image).is_empty());
        }
    }
});
