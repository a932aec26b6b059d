//! What a guest sees: sixteen virtio-mmio windows and the devices that can be plugged into them.
//!
//! Makes no KVM call and opens no path: memory, files, sockets and event descriptors are handed in, so every device
//! can be driven by a test with 64 KiB of guest memory. Everything a guest writes is hostile; nothing here panics or
//! grows without a named limit because of it.
//!
//! Start at [`device`] (what a device is), then [`slots`] (the bus), then any one device: all have the same anatomy.

#![deny(unsafe_code)]

pub mod device;
pub mod discard;
pub mod interrupt;
pub mod limit;
pub mod meter;
pub mod own_thread;
pub mod ring;
pub mod slots;

pub mod balloon;
pub mod block;
pub mod fs;
pub mod memory;
pub mod net;
pub mod pmem;
pub mod rng;
pub mod serial;
pub mod vsock;

mod config;
mod parts;
