//! Disks of each kind under a driver that keeps to no rule.
#![no_main]

use fuzz::driver::{Device, withstands};
use libfuzzer_sys::fuzz_target;

const DEVICES: [Device; 3] = [Device::Block, Device::BlockShared, Device::BlockLimited];

fuzz_target!(|input: (u8, &[u8])| {
    let (device, script) = input;
    assert!(withstands(DEVICES[usize::from(device) % DEVICES.len()], script));
});
