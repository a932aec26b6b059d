//! Pages that a virtio-balloon driver names, by their numbers and as buffers.
#![no_main]

use devices::balloon::pages::{NUMBERS_MAX, PAGE_BYTES, Pages, parse};
use libfuzzer_sys::fuzz_target;

fn check_buffer(address: u64, bytes: u32) {
    let Some(pages) = Pages::inside(address, bytes) else {
        return;
    };
    assert!(pages.bytes > 0 && pages.start.is_multiple_of(PAGE_BYTES) && pages.bytes.is_multiple_of(PAGE_BYTES));
    assert!(pages.start >= address && pages.start + pages.bytes <= address + u64::from(bytes));
}

fuzz_target!(|input: (u64, u32, &[u8])| {
    let (address, bytes, numbers) = input;
    check_buffer(address, bytes);
    assert_eq!(parse(numbers).count(), (numbers.len() / 4).min(NUMBERS_MAX));
    for (pages, number) in parse(numbers).zip(numbers.chunks(4)) {
        assert_eq!(pages.bytes, PAGE_BYTES);
        let number: [u8; 4] = number.try_into().expect("a whole number");
        assert_eq!(pages.start / PAGE_BYTES, u64::from(u32::from_le_bytes(number)));
    }
});
