//! What a driver has set up in a slot: all that a clone's device needs to go on where the template's was at rest.

use std::sync::atomic::Ordering;

use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

/// One slot with a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSlot {
    /// The kind of device.
    pub device_type: u32,
    /// The features agreed on.
    pub features: u64,
    /// The register `Status`.
    pub status: u32,
    /// The register `InterruptStatus`.
    pub interrupt_status: u32,
    /// Whether the driver has notified the device of something that it had not begun.
    pub is_kicked: bool,
    /// The queues in order.
    pub queues: Vec<SavedQueue>,
}

/// One queue, at the addresses that the driver has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavedQueue {
    /// The number of entries.
    pub size: u16,
    /// Whether the driver has enabled it.
    pub ready: bool,
    /// The descriptor table.
    pub descriptors: u64,
    /// The available ring.
    pub driver_ring: u64,
    /// The used ring.
    pub device_ring: u64,
}

/// The queues as they go on from rest: everything taken was given back, so both indexes of the device are what it last wrote into the used ring.
pub(crate) fn at_rest(mut queues: Vec<Queue>, memory: &GuestMemoryMmap) -> Vec<Queue> {
    for queue in queues.iter_mut().filter(|queue| queue.ready()) {
        // A ring outside memory is found out before the queue is used.
        if let Ok(index) = queue.used_idx(memory, Ordering::Acquire) {
            queue.set_next_avail(index.0);
            queue.set_next_used(index.0);
        }
    }
    queues
}
