//! The bus: sixteen windows, and the way by which devices get into them and workers to the device thread.

pub mod registers;
mod saved;
mod sink;
mod slot;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

pub use registers::QUEUE_NOTIFY_OFFSET;
pub use saved::{SavedQueue, SavedSlot};
pub use sink::{SLOT_COUNT, SlotIndex, WorkerSink};
pub use slot::{PlugError, Slot};

use crate::device::VirtioDevice;
use crate::interrupt::Line;
use crate::slots::slot::Surroundings;

/// The size of one window, in bytes.
pub const WINDOW_BYTES: u64 = 0x1000;

/// Gives each slot its interrupt line.
pub type Lines = Box<dyn Fn(SlotIndex) -> Arc<dyn Line> + Send>;

/// Sixteen virtio-mmio windows. One thread at a time touches them: the vmm keeps them behind a lock.
pub struct Slots {
    slots: [Slot; SLOT_COUNT],
    memory: GuestMemoryMmap,
    sink: Box<dyn WorkerSink>,
    lines: Lines,
}

impl Slots {
    /// Sixteen empty windows of a guest with this memory, whose workers go to `sink` and whose interrupts to `lines`.
    #[must_use]
    pub fn new(memory: GuestMemoryMmap, sink: Box<dyn WorkerSink>, lines: Lines) -> Self {
        Self {
            slots: Default::default(),
            memory,
            sink,
            lines,
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
        let slot = &mut self.slots[index.get()];
        if !slot.is_empty() {
            return Err(PlugError::Taken { index });
        }
        slot.plug(device, (self.lines)(index))
    }

    /// Gives `device` the slot `index`, whose driver has set up another one like it as `saved` says.
    ///
    /// The queues must be at rest: all that the driver had made available was used.
    ///
    /// # Errors
    ///
    /// As [`Self::plug_at`], and when the device is unlike the other one.
    pub fn restore_at(
        &mut self,
        index: SlotIndex,
        device: Box<dyn VirtioDevice>,
        saved: &SavedSlot,
    ) -> Result<(), PlugError> {
        self.plug_at(index, device)?;
        let surroundings = Surroundings {
            index,
            memory: &self.memory,
            sink: self.sink.as_ref(),
        };
        self.slots[index.get()].restore(saved, &surroundings)
    }

    /// What the driver of the device in `index` has set up; `None` for an empty slot.
    #[must_use]
    pub fn save(&self, index: SlotIndex) -> Option<SavedSlot> {
        self.slot(index).save()
    }

    /// Stops all workers, so that nothing changes any more what the guest sees. The bus is of no use afterwards.
    pub fn stop_workers(&mut self) {
        for index in SlotIndex::all() {
            if self.slots[index.get()].stop_serving() {
                self.sink.stop(index);
            }
        }
    }

    /// Tells the driver of the device in `index`, if there is one, that the device's configuration has changed.
    pub fn raise_config(&self, index: SlotIndex) {
        self.slot(index).raise_config();
    }

    /// The plugged slots: bit n is slot n.
    #[must_use]
    pub fn bitmap(&self) -> u16 {
        SlotIndex::all()
            .filter(|&index| !self.slot(index).is_empty())
            .fold(0, |bitmap, index| bitmap | 1 << index.get())
    }

    /// One slot.
    #[must_use]
    pub fn slot(&self, index: SlotIndex) -> &Slot {
        &self.slots[index.get()]
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
        self.slots[index.get()].write(offset, data, &surroundings);
    }
}
