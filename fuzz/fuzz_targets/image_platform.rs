//! Platforms: one that is read shows itself as what reads back to the same, and accepts itself.
#![no_main]

use image::platform::{Platform, WORD_LEN_MAX};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(platform) = Platform::parse(text) {
        assert!(platform.accepts(&platform));
        let words = [&platform.os, &platform.architecture, &platform.variant];
        assert!(words.into_iter().all(|word| word.len() <= WORD_LEN_MAX));
        assert_eq!(Platform::parse(&platform.to_string()), Some(platform));
    }
});
