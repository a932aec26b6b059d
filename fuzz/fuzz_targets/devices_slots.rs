//! Writes of a driver to the registers of a slot, five bytes each: the register's offset, and the value in little endian.
#![no_main]

use std::sync::Arc;

use devices::interrupt::Interrupt;
use devices::slots::registers::{Effect, Registers, TRANSPORT_FEATURES};
use libfuzzer_sys::fuzz_target;
use virtio_queue::QueueT;
use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const STATUS: u64 = 0x70;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const VERSION_1: u64 = 1 << 32;
const FEATURES: u64 = 0b101;
const QUEUE_SIZES: [u16; 2] = [256, 16];

fuzz_target!(|writes: &[u8]| {
    let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x10000)]).expect("64 KiB of memory");
    let interrupt = Interrupt::new(Arc::new(EventFd::new(EFD_NONBLOCK).expect("a descriptor")));
    let mut registers = Registers::new(2, FEATURES, &QUEUE_SIZES).expect("powers of two");
    for write in writes.chunks_exact(5) {
        let value = u32::from_le_bytes([write[1], write[2], write[3], write[4]]);
        let effect = registers.write(write[0].into(), value);
        let status = registers.read(STATUS, &interrupt);
        let _ = registers.read(write[0].into(), &interrupt);
        match effect {
            Effect::Notify(_) | Effect::Activate => assert_ne!(status & DRIVER_OK, 0),
            Effect::Reset => assert_eq!((status, registers.features()), (0, 0)),
            Effect::Acknowledge(_) | Effect::None => {}
        }
        assert!(status & DRIVER_OK == 0 || status & FEATURES_OK != 0);
        if status & FEATURES_OK != 0 {
            assert_eq!(registers.features() & !(FEATURES | TRANSPORT_FEATURES), 0);
            assert_ne!(registers.features() & VERSION_1, 0);
        }
        if effect == Effect::Activate {
            for (queue, size_max) in registers.queues().iter().zip(QUEUE_SIZES) {
                assert!(queue.size() <= size_max && queue.size().is_power_of_two());
                let _ = queue.is_valid(&memory);
            }
        }
    }
});
