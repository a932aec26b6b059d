//! virtio-pmem (virtio 1.2, 5.19): a window of the guest's address space in which the host has put files, to be read.
//!
//! The device only says where the window is. [`layout`] plans what lies in it; who owns the guest's address space does it.

mod layout;
pub mod request;
#[cfg(test)]
mod tests;

use virtio_bindings::virtio_ids::VIRTIO_ID_PMEM;

pub use layout::{Extent, LayoutError, layout};

use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::pmem::request::{ANSWER_BYTES, REQUEST_BYTES, Request};
use crate::ring::buffers::Buffers;
use crate::ring::server::{Server, Service};

/// What begin and length of a window have to be multiples of, so that Linux on x86 gives its pages page structs, in bytes
/// (`memremap_compat_align`).
pub const WINDOW_ALIGNMENT_BYTES: u64 = 2 << 20;

/// Memory that cannot be written is not flushed often.
const QUEUE_SIZES: [u16; 1] = [8];

/// The length of `struct virtio_pmem_config`.
const CONFIG_BYTES: usize = 16;

/// Memory that holds what cannot be changed.
pub struct Pmem {
    config: [u8; CONFIG_BYTES],
}

impl Pmem {
    /// A window of `bytes` at the guest-physical address `start`.
    #[must_use]
    pub fn new(start: u64, bytes: u64) -> Self {
        let mut config = [0; CONFIG_BYTES];
        config[..8].copy_from_slice(&start.to_le_bytes());
        config[8..].copy_from_slice(&bytes.to_le_bytes());
        Self { config }
    }
}

impl VirtioDevice for Pmem {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_PMEM
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        0
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(&self.config, offset, data);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let [ring] = activation.take_rings()?;
        Ok(Box::new(Server::new(
            activation.memory,
            ring,
            activation.interrupt,
            Answers,
        )))
    }

    fn reset(&mut self) {}
}

struct Answers;

impl Service for Answers {
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        let mut bytes = [0; REQUEST_BYTES];
        let given = buffers.readable.copy_to(&mut bytes);
        let answer = match request::parse(&bytes[..given]) {
            // Nothing can be written, so all that was is where it belongs.
            Ok(Request::Flush) => request::OK,
            Err(_) => request::FAILED,
        };
        // An answer that does not fit is none.
        if buffers.writable.len() < ANSWER_BYTES {
            return Some(0);
        }
        Some(u32::try_from(buffers.writable.copy_from(&answer.to_le_bytes())).unwrap_or(0))
    }
}
