//! Headers of frames that a guest sends: what is taken was offered, lies inside the frame, and is passed on as it was read.
#![no_main]

use devices::net::Offloads;
use devices::net::header::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_BYTES, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; HEADER_BYTES], u32, [bool; 4])| {
    let (bytes, frame_bytes, [checksum, tso4, tso6, ecn]) = input;
    let offered = Offloads {
        checksum,
        tso4,
        tso6,
        ecn,
    };
    let frame_bytes = frame_bytes as usize;
    let Ok(header) = parse(&bytes, frame_bytes, offered) else {
        return;
    };
    assert!((FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame_bytes));
    if let Some(sum) = header.checksum {
        assert!(checksum && usize::from(sum.start) + usize::from(sum.offset) + 2 <= frame_bytes);
    }
    if let Some(segment) = header.segment {
        assert!(header.checksum.is_some() && (tso4 || tso6));
        assert!(segment.piece_bytes > 0 && usize::from(segment.headers_bytes) <= frame_bytes);
    }
    assert_eq!(parse(&header.bytes(), frame_bytes, offered), Ok(header));
});
