//! Frames of an attached task: what is read writes and reads back, and no part of a frame is taken for a whole one.
#![no_main]

use api::attach::{encode, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((frame, used))) = parse(bytes) {
        assert!(matches!(parse(&bytes[..used - 1]), Ok(None)));
        let encoded = encode(&frame).expect("a frame that was read");
        assert_eq!(parse(&encoded).expect("a frame"), Some((frame, encoded.len())));
    }
});
