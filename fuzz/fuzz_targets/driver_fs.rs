//! A directory of the host under a driver that keeps to no rule.
#![no_main]

use fuzz::driver::{Device, Driver};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| {
    let mut driver = Driver::of(Device::Fs);
    driver.play(script);
    assert!(driver.is_usable());
});
