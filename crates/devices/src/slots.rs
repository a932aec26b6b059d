//! The bus: sixteen windows, and the way by which devices get into them and workers to the device thread.

use std::fmt;
use std::io;

use thiserror::Error;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use crate::device::{ActivateError, VirtioDevice, Worker};
use crate::slot::{Slot, Surroundings};

/// How many windows a guest has; fixed, since they are named on its command line.
pub const SLOT_COUNT: usize = 16;

/// The size of one window, in bytes.
pub const WINDOW_BYTES: u64 = 0x1000;

/// The offset in a window of the register `QueueNotify`, to which a driver writes a queue's index.
pub const QUEUE_NOTIFY_OFFSET: u64 = 0x50;

/// The number of a slot, below [`SLOT_COUNT`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotIndex(usize);

impl SlotIndex {
    /// `None` if there is no such slot.
    #[must_use]
    pub fn new(index: usize) -> Option<Self> {
        (index < SLOT_COUNT).then_some(Self(index))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }

    /// All slots, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOT_COUNT).map(Self)
    }
}

impl fmt::Display for SlotIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where workers live: the device thread, seen from the bus.
///
/// Both calls come from a vCPU thread that holds the bus; so nothing on the device thread may wait for the bus.
pub trait WorkerSink: Send {
    /// Adds a worker to the device thread's event loop.
    fn start(&self, slot: SlotIndex, worker: Box<dyn Worker>);

    /// Removes the worker of a slot, and returns only when it is gone.
    fn stop(&self, slot: SlotIndex);

    /// A driver's set-up was refused. The driver is told through its registers; this is for the log.
    fn refused(&self, slot: SlotIndex, error: &ActivateError);
}

/// Sixteen virtio-mmio windows. One thread at a time touches them: the vmm keeps them behind a lock.
pub struct Slots {
    slots: [Slot; SLOT_COUNT],
    memory: GuestMemoryMmap,
    sink: Box<dyn WorkerSink>,
}

impl Slots {
    /// Sixteen empty windows of a guest with this memory, whose workers go to `sink`.
    #[must_use]
    pub fn new(memory: GuestMemoryMmap, sink: Box<dyn WorkerSink>) -> Self {
        Self {
            slots: Default::default(),
            memory,
            sink,
        }
    }

    /// Gives `device` the first empty slot: its window, its interrupt and its queue events.
    ///
    /// # Errors
    ///
    /// When all slots are taken, the device describes itself wrongly, or an event descriptor cannot be had.
    pub fn plug(&mut self, device: Box<dyn VirtioDevice>) -> Result<SlotIndex, PlugError> {
        let index = SlotIndex::all()
            .find(|&index| self.slot(index).is_empty())
            .ok_or(PlugError::Full)?;
        self.plug_at(index, device)?;
        Ok(index)
    }

    /// Gives `device` the slot `index`.
    ///
    /// # Errors
    ///
    /// When the slot is taken, the device describes itself wrongly, or an event descriptor cannot be had.
    pub fn plug_at(&mut self, index: SlotIndex, device: Box<dyn VirtioDevice>) -> Result<(), PlugError> {
        let slot = &mut self.slots[index.0];
        if !slot.is_empty() {
            return Err(PlugError::Taken { index });
        }
        slot.plug(device)
    }

    /// The plugged slots: bit n is slot n.
    #[must_use]
    pub fn bitmap(&self) -> u16 {
        SlotIndex::all()
            .filter(|&index| !self.slot(index).is_empty())
            .fold(0, |bitmap, index| bitmap | 1 << index.0)
    }

    /// One slot.
    #[must_use]
    pub fn slot(&self, index: SlotIndex) -> &Slot {
        &self.slots[index.0]
    }

    /// The descriptor that the device in `index` writes to raise its interrupt; `None` for an empty slot.
    #[must_use]
    pub fn interrupt_event(&self, index: SlotIndex) -> Option<&EventFd> {
        self.slot(index).interrupt_event()
    }

    /// For each queue of the device in `index` the descriptor to be signalled when the driver writes the queue's index,
    /// as 32 bits, to [`QUEUE_NOTIFY_OFFSET`]; empty for an empty slot.
    #[must_use]
    pub fn kick_events(&self, index: SlotIndex) -> &[EventFd] {
        self.slot(index).kick_events()
    }

    /// A guest's read in the window of slot `index`.
    pub fn read(&self, index: SlotIndex, offset: u64, data: &mut [u8]) {
        self.slot(index).read(offset, data);
    }

    /// A guest's write in the window of slot `index`. May start or stop a worker, and then waits for the device thread.
    pub fn write(&mut self, index: SlotIndex, offset: u64, data: &[u8]) {
        let surroundings = Surroundings {
            index,
            memory: &self.memory,
            sink: self.sink.as_ref(),
        };
        self.slots[index.0].write(offset, data, &surroundings);
    }
}

/// Why a device did not get a slot.
#[derive(Debug, Error)]
pub enum PlugError {
    /// All slots are taken.
    #[error("all {SLOT_COUNT} slots are taken")]
    Full,
    /// The asked-for slot is taken.
    #[error("slot {index} is taken")]
    Taken {
        /// The slot.
        index: SlotIndex,
    },
    /// The device asks for a queue that virtio does not allow.
    #[error("a queue cannot have {size} entries")]
    QueueSize {
        /// The entries it asks for.
        size: u16,
    },
    /// The system has no event descriptor left.
    #[error("cannot create an event descriptor")]
    Event {
        /// The system's answer.
        source: io::Error,
    },
}
