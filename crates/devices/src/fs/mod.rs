//! virtio-fs (virtio 1.2, 5.11): a directory of the host, which the guest mounts.
//!
//! The guest's kernel sends FUSE requests. Nothing is kept from the host for longer than a request: what one side writes, the other sees. The guest names
//! files by one name in one directory at a time, and no symbolic link is followed on the host, so nothing outside the directory can be reached.

mod attributes;
mod content;
mod fields;
mod handles;
mod names;
mod nodes;
pub mod opcodes;
mod reply;
pub mod request;
mod server;
#[cfg(test)]
mod tests;
mod worker;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_FS;

use crate::config;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::fs::server::Server;
use crate::fs::worker::Queues;

/// What is urgent, and requests. The guest's kernel makes requests as large as a queue has room for.
const QUEUE_SIZES: [u16; 2] = [64, 512];

/// The length of the name by which the guest finds the device, in bytes.
pub const TAG_BYTES_MAX: usize = 36;

/// A directory, as guests see it.
#[derive(Debug)]
pub struct Shown {
    /// The directory, opened with `O_PATH`.
    pub root: Arc<OwnedFd>,
    /// `/proc/self/fd`, by which what was opened with `O_PATH` is opened.
    pub descriptors: OwnedFd,
    /// Whether nothing can be changed.
    pub is_read_only: bool,
}

/// A directory's device.
#[derive(Debug)]
pub struct Fs {
    // Shared with the worker while there is one; neither changes it.
    shown: Arc<Shown>,
    /// `struct virtio_fs_config`: the tag, and the number of queues for requests.
    config: [u8; TAG_BYTES_MAX + 4],
}

impl Fs {
    /// Shows a directory under the name `tag`, of which at most [`TAG_BYTES_MAX`] bytes count.
    #[must_use]
    pub fn new(tag: &str, shown: Shown) -> Self {
        let mut config = [0; TAG_BYTES_MAX + 4];
        let bytes = tag.len().min(TAG_BYTES_MAX);
        config[..bytes].copy_from_slice(&tag.as_bytes()[..bytes]);
        config[TAG_BYTES_MAX..].copy_from_slice(&1u32.to_le_bytes());
        Self {
            shown: Arc::new(shown),
            config,
        }
    }
}

impl VirtioDevice for Fs {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_FS
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
        Ok(Box::new(Queues {
            rings: activation.take_rings()?,
            memory: activation.memory,
            interrupt: activation.interrupt,
            server: Server::of(Arc::clone(&self.shown)),
            broken: false,
        }))
    }

    fn reset(&mut self) {}
}
