//! Requests of a virtio-fs driver: each name in one that is taken is a name in one directory, and no request is longer than one may be.
#![no_main]

use std::ffi::CStr;

use devices::fs::request::{DATA_BYTES_MAX, HEADER_BYTES, Request, parse, parse_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(header) = parse_header(bytes) else { return };
    let Ok(request) = parse(&header, &bytes[HEADER_BYTES..]) else {
        return;
    };
    match request {
        Request::Find(name)
        | Request::MakeLink { name, .. }
        | Request::MakeNode { name, .. }
        | Request::MakeDirectory { name, .. }
        | Request::Remove(name)
        | Request::RemoveDirectory(name)
        | Request::Link { name, .. }
        | Request::Create { name, .. } => check(name),
        Request::Rename { from, to, .. } => {
            check(from);
            check(to);
        }
        Request::Read(stretch) | Request::Write(stretch) | Request::List(stretch) => {
            assert!(stretch.bytes <= u64::from(DATA_BYTES_MAX));
        }
        Request::SetAttribute { value, .. } => assert!(value.len() < bytes.len()),
        Request::Forget(nodes) => assert!(nodes.len() <= bytes.len() / 8),
        _ => {}
    }
});

fn check(name: &CStr) {
    let name = name.to_bytes();
    assert!(!name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/'));
}
