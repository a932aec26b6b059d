//! What stands behind one virtio-mmio window: the configuration half, and the half that serves its queues.

use std::io;

use event_manager::MutEventSubscriber;
use thiserror::Error;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use crate::interrupt::Interrupt;
use crate::ring::Ring;

/// The configuration half of a device. It lives with the bus and is touched by vCPU threads, one at a time.
pub trait VirtioDevice: Send {
    /// The device's number in virtio 1.2, section 5. Never 0, which means an empty slot.
    fn device_type(&self) -> u32;

    /// The largest size of each queue, in entries; each a power of two, at most 32,768.
    fn queue_sizes(&self) -> &[u16];

    /// The device's own feature bits (0 to 23 and 50 to 127). The slot adds those of the transport and of the rings:
    /// `VERSION_1`, `INDIRECT_DESC` and `EVENT_IDX`.
    fn features(&self) -> u64;

    /// Reads the configuration space at `offset`. All of `data` is written; what lies behind the end is zero.
    fn read_config(&self, offset: u64, data: &mut [u8]);

    /// Writes the configuration space at `offset`. What cannot be written is ignored.
    fn write_config(&mut self, offset: u64, data: &[u8]);

    /// Gives the driver's queues to the device and returns the half that serves them, which moves to the device thread.
    fn activate(&mut self, activation: Activation) -> Result<Box<dyn Worker>, ActivateError>;

    /// Whether the device of a clone may have something for its driver before that asks: then it works from the beginning.
    fn speaks_first(&self) -> bool {
        false
    }

    /// Forgets what the driver did. The worker, if there was one, is gone already.
    fn reset(&mut self);
}

/// The queue half of a device: a subscriber of the device thread's event loop.
///
/// It is stopped by being removed from the loop and dropped; it never sees the bus, and so never waits for a vCPU.
pub trait Worker: MutEventSubscriber + Send {}

impl<T: MutEventSubscriber + Send> Worker for T {}

/// All that a driver has set up when it says `DRIVER_OK`.
pub struct Activation {
    /// The guest's memory.
    pub memory: GuestMemoryMmap,
    /// The queues in order. One that the driver did not enable is not `ready`; the others lie inside `memory`.
    pub queues: Vec<Queue>,
    /// For each queue the event by which the driver says that it has added buffers; non-blocking.
    pub kicks: Vec<EventFd>,
    /// The way to tell the driver that buffers were used.
    pub interrupt: Interrupt,
    /// The feature bits both sides agreed on, those of transport and rings included.
    pub features: u64,
}

impl Activation {
    /// Takes the queues apart, for a device that needs exactly `N` of them.
    ///
    /// # Errors
    ///
    /// When the driver has left one of them disabled.
    pub fn take_rings<const N: usize>(&mut self) -> Result<[Ring; N], ActivateError> {
        if let Some(index) = self.queues.iter().position(|queue| !queue.ready()) {
            return Err(ActivateError::QueueDisabled { index });
        }
        let queues = self.queues.drain(..).zip(self.kicks.drain(..));
        let rings: Vec<Ring> = queues.map(|(queue, kick)| Ring::new(queue, kick)).collect();
        let count = rings.len();
        rings
            .try_into()
            .map_err(|_| ActivateError::QueueCount { expected: N, count })
    }
}

/// Why a device could not start to work. The driver sees `DEVICE_NEEDS_RESET`.
#[derive(Debug, Error)]
pub enum ActivateError {
    /// A queue that the device cannot work without was not enabled.
    #[error("queue {index} is not enabled")]
    QueueDisabled {
        /// The queue's index.
        index: usize,
    },
    /// Rings that do not lie inside the guest's memory.
    #[error("queue {index} does not lie inside guest memory")]
    QueueOutsideMemory {
        /// The queue's index.
        index: usize,
    },
    /// The bus and the device disagree about the number of queues.
    #[error("{count} queues were given to a device that has {expected}")]
    QueueCount {
        /// What the device has.
        expected: usize,
        /// What it was given.
        count: usize,
    },
    /// What stands behind the device does not take what was agreed on.
    #[error("what stands behind the device refuses what the driver has agreed on")]
    Backend {
        /// The system's answer.
        source: io::Error,
    },
    /// A descriptor that the worker needs could not be had.
    #[error("cannot duplicate a descriptor for the device's worker")]
    Duplicate {
        /// The system's answer.
        source: io::Error,
    },
}
