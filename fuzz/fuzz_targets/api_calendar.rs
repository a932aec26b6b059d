//! Moments: one that is read is written as what reads back to the same.
#![no_main]

use api::calendar::{parse_rfc3339, rfc3339, thousandths};
use libfuzzer_sys::fuzz_target;

/// 10000-01-01, in milliseconds since the Unix epoch: a zone west of UTC may lead beyond it, and RFC 3339 has no fifth digit.
const UNIX_MS_END: u64 = 253_402_300_800_000;

fuzz_target!(|text: &str| {
    if let Some(unix_ms) = parse_rfc3339(text) {
        let written = rfc3339(unix_ms);
        if unix_ms < UNIX_MS_END {
            assert_eq!(parse_rfc3339(&written), Some(unix_ms), "{written}");
        }
    }
    if let Some(thousandths) = thousandths(text) {
        assert!(thousandths < 1000);
    }
});
