//! Requests of a virtio-blk driver: one that is taken lies inside the disk, and changes none that is read-only.
#![no_main]

use devices::block::request::{Data, Disk, HEADER_BYTES, RANGE_BYTES, Request, SECTOR_BYTES, parse};
use libfuzzer_sys::fuzz_target;

type Input = ([u8; HEADER_BYTES], [u8; RANGE_BYTES], u64, u64, u64, bool);

fuzz_target!(|input: Input| {
    let (header, given, given_bytes, room_bytes, capacity_bytes, writable) = input;
    let data = Data {
        given_bytes,
        given: &given,
        room_bytes,
    };
    let disk = Disk {
        capacity_bytes,
        writable,
    };
    let Ok(request) = parse(&header, data, disk) else {
        return;
    };
    let range = match request {
        Request::Flush | Request::Identify => return,
        Request::Read(range) => {
            assert_eq!(range.bytes, room_bytes);
            range
        }
        Request::Write(range) => {
            assert!(writable && range.bytes == given_bytes);
            range
        }
        Request::Discard(range) | Request::WriteZeroes { range, .. } => {
            assert!(writable);
            range
        }
    };
    assert!(range.offset.is_multiple_of(SECTOR_BYTES) && range.bytes.is_multiple_of(SECTOR_BYTES));
    assert!(
        range
            .offset
            .checked_add(range.bytes)
            .is_some_and(|end| end <= capacity_bytes)
    );
});
