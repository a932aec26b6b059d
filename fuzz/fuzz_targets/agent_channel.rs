//! Messages of a client of `ExecuteCommand`: the payload's digest is put right first, and what is read writes and reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use message::{HEADER_LEN, parse};
use sha2::{Digest, Sha256};

#[path = "../../crates/agent/src/channel/message.rs"]
#[expect(dead_code, reason = "one half of it is the host's")]
mod message;

/// Where the payload's digest is in a header, and its length.
const DIGEST: std::ops::Range<usize> = 80..112;
const LENGTH: std::ops::Range<usize> = 116..120;

fuzz_target!(|input: (bool, &[u8])| {
    let (is_sealed, bytes) = input;
    let mut bytes = bytes.to_vec();
    if is_sealed && bytes.len() >= HEADER_LEN {
        let (header, payload) = bytes.split_at_mut(HEADER_LEN);
        header[DIGEST].copy_from_slice(&Sha256::digest(&*payload));
        let length = u32::try_from(payload.len()).expect("a short input");
        header[LENGTH].copy_from_slice(&length.to_be_bytes());
    }
    let Ok(message) = parse(&bytes) else { return };
    let written = message.to_bytes();
    let again = parse(&written).expect("a message that was written");
    assert_eq!(again.to_bytes(), written);
    assert_eq!(again.payload, message.payload);
});
