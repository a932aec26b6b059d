//! The file in which a VMM counts: whatever is in it, it is read or is too short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::vmm::{COUNTERS_LEN, Counters};

fuzz_target!(|bytes: &[u8]| {
    let counters = Counters::parse(bytes);
    assert_eq!(counters.is_some(), bytes.len() >= COUNTERS_LEN);
    // What comes behind means nothing.
    assert_eq!(counters, bytes.get(..COUNTERS_LEN).and_then(Counters::parse));
});
