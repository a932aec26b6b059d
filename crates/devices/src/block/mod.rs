//! virtio-blk (virtio 1.2, 5.2): a disk that is a concatenation of read-only files, one writable file, or a file that
//! others share with what was written since.

pub mod backend;
pub mod request;
mod service;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use virtio_bindings::bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_DISCARD, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
    VIRTIO_BLK_F_WRITE_ZEROES,
};
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;

use crate::block::backend::Backend;
use crate::block::request::{DISCARD_SECTORS_MAX, ID_BYTES, SECTOR_BYTES, SEGMENTS_MAX, WRITE_ZEROES_SECTORS_MAX};
use crate::block::service::Disk;
use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::limit::Limit;
use crate::meter::Meter;
use crate::ring::server::Server;

/// The entries of the one queue. Linux sets memory aside for as many requests at once, about half a KiB each.
const QUEUE_SIZES: [u16; 1] = [128];

/// The length of `struct virtio_blk_config` up to the last field we fill.
const CONFIG_BYTES: usize = 60;

/// A disk.
pub struct Block {
    // Shared with the worker while there is one; neither changes it, the system orders what they do to the files.
    backend: Arc<Backend>,
    id: [u8; ID_BYTES],
    config: [u8; CONFIG_BYTES],
    meter: Meter,
    limit: Option<Limit>,
}

impl Block {
    /// A disk of which Linux says `name` in `/sys/block/*/serial`: its first 20 bytes.
    #[must_use]
    pub fn new(backend: Backend, name: &str) -> Self {
        let mut id = [0; ID_BYTES];
        let length = name.len().min(ID_BYTES);
        id[..length].copy_from_slice(&name.as_bytes()[..length]);
        let config = configuration(&backend);
        Self {
            backend: Arc::new(backend),
            id,
            config,
            meter: Meter::default(),
            limit: None,
        }
    }

    /// The same disk, whose reads and writes are counted.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    /// The same disk, whose reads and writes keep to `limit`, where there is one, together with all others that do.
    #[must_use]
    pub fn limited(self, limit: Option<Limit>) -> Self {
        Self { limit, ..self }
    }
}

impl VirtioDevice for Block {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        let always = 1 << VIRTIO_BLK_F_SEG_MAX | 1 << VIRTIO_BLK_F_BLK_SIZE;
        if self.backend.is_writable() {
            always | 1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES
        } else {
            always | 1 << VIRTIO_BLK_F_RO
        }
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        config::read(&self.config, offset, data);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {
        // The one writable field, `writeback`, belongs to a feature that is not offered.
    }

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let [ring] = activation.take_rings()?;
        // Without the means to ask for durability, every write has to be durable (virtio 1.2, 5.2.6.2).
        let write_through = activation.features & 1 << VIRTIO_BLK_F_FLUSH == 0;
        let turn = self.limit.as_ref().map(Limit::turn).transpose();
        let disk = Disk {
            backend: Arc::clone(&self.backend),
            id: self.id,
            write_through,
            meter: self.meter,
            turn: turn.map_err(|source| ActivateError::Backend { source })?,
        };
        Ok(Box::new(Server::new(
            activation.memory,
            ring,
            activation.interrupt,
            disk,
        )))
    }

    fn reset(&mut self) {}
}

/// `struct virtio_blk_config` (virtio 1.2, 5.2.4).
fn configuration(backend: &Backend) -> [u8; CONFIG_BYTES] {
    let mut config = [0; CONFIG_BYTES];
    let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &(backend.capacity_bytes() / SECTOR_BYTES).to_le_bytes());
    put(12, &SEGMENTS_MAX.to_le_bytes());
    put(20, &backend.block_bytes().to_le_bytes());
    put(36, &DISCARD_SECTORS_MAX.to_le_bytes());
    put(40, &1u32.to_le_bytes());
    put(44, &(backend::HOST_BLOCK_SECTORS).to_le_bytes());
    put(48, &WRITE_ZEROES_SECTORS_MAX.to_le_bytes());
    put(52, &1u32.to_le_bytes());
    put(56, &[1]);
    config
}
