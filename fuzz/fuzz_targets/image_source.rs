//! Where an image comes from: a source that is read shows itself as what reads back to the same.
#![no_main]

use image::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(source) = Source::parse(text) {
        assert_eq!(Source::parse(&source.to_string()).as_ref(), Ok(&source));
    }
});
