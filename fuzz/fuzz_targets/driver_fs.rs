//! A directory of the host under a driver that keeps to no rule.
#![no_main]

use fuzz::driver::{Device, withstands};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    assert!(withstands(Device::Fs, script));
});
