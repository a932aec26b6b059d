//! Requests of a virtio-pmem driver, and files of any length in a window of any length.
#![no_main]

use devices::pmem::layout;
use devices::pmem::request::{REQUEST_BYTES, Request, RequestError, parse};
use libfuzzer_sys::fuzz_target;

fn check_request(bytes: &[u8]) {
    match parse(bytes) {
        Ok(Request::Flush) => assert_eq!(bytes[..REQUEST_BYTES], [0; REQUEST_BYTES]),
        Err(RequestError::Unknown { number }) => assert_ne!(number, 0),
        Err(RequestError::TooShort { .. }) => assert!(bytes.len() < REQUEST_BYTES),
    }
}

fn check_layout(parts: &[u64], window_bytes: u64) {
    let Ok(extents) = layout(parts, window_bytes) else {
        return;
    };
    assert_eq!(extents.len(), parts.len());
    let mut end = 0;
    for (extent, &bytes) in extents.iter().zip(parts) {
        assert!(extent.offset == end && extent.bytes >= bytes);
        end += extent.bytes;
    }
    assert!(end <= window_bytes);
}

fuzz_target!(|input: (Vec<u64>, u64, &[u8])| {
    let (parts, window_bytes, bytes) = input;
    check_request(bytes);
    check_layout(&parts, window_bytes);
});
