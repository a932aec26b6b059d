//! Disks of each kind under a driver that keeps to no rule.
#![no_main]

use fuzz::driver::{Device, Driver};
use libfuzzer_sys::fuzz_target;

const DEVICES: [Device; 3] = [Device::Block, Device::BlockShared, Device::BlockLimited];

fuzz_target!(|input: (u8, &[u8])| {
    let (device, script) = input;
    let mut driver = Driver::of(DEVICES[usize::from(device) % DEVICES.len()]);
    driver.play(script);
    assert!(driver.is_usable());
});
