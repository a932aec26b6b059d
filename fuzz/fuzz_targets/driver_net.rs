//! Network interfaces under a driver that keeps to no rule.
#![no_main]

use fuzz::driver::{Device, withstands};
use libfuzzer_sys::fuzz_target;

const DEVICES: [Device; 2] = [Device::Net, Device::NetLimited];

fuzz_target!(|input: (u8, &[u8])| {
    let (device, script) = input;
    assert!(withstands(DEVICES[usize::from(device) % DEVICES.len()], script));
});
