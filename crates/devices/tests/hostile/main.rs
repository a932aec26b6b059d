//! Every device under a driver that keeps to no rule: it neither panics nor spins, takes no memory and no descriptor, and serves the next driver.

#![expect(clippy::expect_used, reason = "a test fails where it cannot go on")]

mod driver;
#[expect(unsafe_code, reason = "an allocator is")]
mod memory;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use driver::{Device, Driver, withstands};
use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// A script's length in bytes, for some dozen steps.
const SCRIPT_BYTES: usize = 600;

fn script() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..SCRIPT_BYTES)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_device_serves_the_next_driver_whatever_one_has_done(script in script()) {
        for device in Device::ALL {
            prop_assert!(withstands(device, &script), "{device:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Until it has what it may have, a device may take memory; after that, doing the same again takes no more.
    #[test]
    fn what_a_driver_repeats_takes_no_more_memory_and_no_more_descriptors(script in script()) {
        for device in Device::ALL {
            let mut driver = Driver::of(device);
            let mut repeat = |times: usize| {
                (0..times).for_each(|_| driver.play(&script));
                (memory::live_bytes(), fs::read_dir("/proc/self/fd").unwrap().count())
            };
            let (early_bytes, early_descriptors) = repeat(100);
            let (late_bytes, late_descriptors) = repeat(300);
            prop_assert!(late_bytes - early_bytes < 1024, "{device:?}: {early_bytes} and then {late_bytes} bytes");
            prop_assert!(late_descriptors <= early_descriptors + 20, "{device:?}: {early_descriptors} and then {late_descriptors} descriptors");
        }
    }
}

/// A guest asks for a connection and gives it up before it has room for the answer.
#[test]
fn connections_that_a_guest_gives_up_unanswered_are_forgotten() {
    let packet = |operation| [1, 0, 0, 0, 1, 2, 1, 0, 0, operation, 0, 0, 0, 0, 0, 0];
    let script = [packet(1), packet(3)].concat();
    let mut driver = Driver::of(Device::Vsock);
    let mut repeat = |times: usize| {
        (0..times).for_each(|_| driver.play(&script));
        memory::live_bytes()
    };
    let early_bytes = repeat(100);
    let late_bytes = repeat(2000);
    assert!(
        late_bytes - early_bytes < 1024,
        "{early_bytes} and then {late_bytes} bytes"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Another vCPU writes to tables, rings and requests while the device reads them.
    #[test]
    fn memory_that_changes_under_the_device_does_no_harm(script in script(), noise in prop::collection::vec(any::<u16>(), 64)) {
        for device in Device::ALL {
            let mut driver = Driver::of(device);
            let (memory, is_over) = (driver.memory(), AtomicBool::new(false));
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        for &word in &noise {
                            let place = GuestAddress(0x1000 + u64::from(word) % 0x8000);
                            memory.write_obj(word, place).unwrap();
                        }
                    }
                });
                driver.play(&script);
                is_over.store(true, Ordering::Relaxed);
            });
            prop_assert!(driver.is_usable(), "{device:?}");
        }
    }
}
