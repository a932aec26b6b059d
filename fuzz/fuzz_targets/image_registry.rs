//! What a registry demands and what a token server answers.
#![no_main]

use image::registry::challenge::{CHALLENGE_LEN_MAX, Challenge, parse, parse_token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = parse_token(bytes);
    let Ok(header) = str::from_utf8(bytes) else { return };
    if let Some(Challenge::Bearer { realm, service, scope }) = parse(header) {
        let texts = [Some(realm), service, scope];
        assert!(header.len() <= CHALLENGE_LEN_MAX);
        assert!(texts.iter().flatten().all(|text| text.len() < header.len()));
    }
});
