//! virtio-mem (virtio 1.2, 5.15): memory that the guest plugs, block by block, as much of it as is requested.

mod blocks;
pub mod region;
pub mod request;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_MEM;

use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::discard::Discard;
use crate::memory::blocks::Blocks;
use crate::memory::region::{BLOCK_BYTES, Region, RegionError};
use crate::memory::service::{Answers, Plugged};
use crate::ring::server::Server;

/// Linux has one request under way at a time.
const QUEUE_SIZES: [u16; 1] = [8];

/// The length of `struct virtio_mem_config`.
const CONFIG_BYTES: usize = 56;

/// A region of memory of which nothing is plugged at first.
///
/// What is requested does not change while the device lives. A driver that does not expect it, since it was started with
/// another device in its place, learns it by a configuration interrupt; beside the plugged blocks the device has no state.
pub struct Memory {
    region: Region,
    // Shared with the worker while there is one.
    plugged: Arc<Plugged>,
    pages: Arc<dyn Discard>,
}

impl Memory {
    /// Memory in this region. What is unplugged goes back to the host by way of `pages`.
    ///
    /// # Errors
    ///
    /// When no device can have such a region.
    pub fn new(region: Region, pages: Box<dyn Discard>) -> Result<Self, RegionError> {
        region.check()?;
        let count = |bytes| {
            usize::try_from(bytes / BLOCK_BYTES).map_err(|_| RegionError::Length {
                start: region.start,
                bytes,
            })
        };
        let blocks = Blocks::new(count(region.usable_bytes())?, count(region.requested_bytes)?);
        Ok(Self {
            region,
            plugged: Arc::new(Plugged::new(blocks)),
            pages: pages.into(),
        })
    }
}

impl VirtioDevice for Memory {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_MEM
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        // Not `UNPLUGGED_INACCESSIBLE`: a read of an unplugged block does no harm, so none has to be forbidden.
        0
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(&configuration(self.region, self.plugged.bytes()), offset, data);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {
        // Everything is the device's to say.
    }

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let [ring] = activation.take_rings()?;
        let answers = Answers {
            region: self.region,
            plugged: Arc::clone(&self.plugged),
            pages: Arc::clone(&self.pages),
        };
        Ok(Box::new(Server::new(
            activation.memory,
            ring,
            activation.interrupt,
            answers,
        )))
    }

    fn reset(&mut self) {
        // Plugged blocks stay plugged (virtio 1.2, 5.15.5.2): the driver asks for all to be unplugged, if it wants that.
    }
}

/// `struct virtio_mem_config` (virtio 1.2, 5.15.4).
fn configuration(region: Region, plugged_bytes: u64) -> [u8; CONFIG_BYTES] {
    let fields = [
        BLOCK_BYTES,
        // The NUMA node and padding.
        0,
        region.start,
        region.bytes,
        region.usable_bytes(),
        plugged_bytes,
        region.requested_bytes,
    ];
    let mut config = [0; CONFIG_BYTES];
    for (place, field) in config.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    config
}
