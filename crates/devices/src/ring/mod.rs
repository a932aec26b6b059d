//! One virtqueue as a worker sees it: chains come in, completions go out, and a broken ring is an error, once.

pub mod buffers;
pub mod server;

use std::num::Wrapping;
use std::sync::atomic::{Ordering, fence};

use event_manager::{EventOps, EventSet, Events};
use thiserror::Error;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, VolatileSlice};
use vmm_sys_util::eventfd::EventFd;

/// The bytes of a descriptor (virtio 1.2, 2.7.5).
const DESCRIPTOR_BYTES: usize = 16;

/// The bytes of an entry of the used ring (virtio 1.2, 2.7.8).
const ENTRY_BYTES: usize = 8;

/// A queue that the driver has enabled, with its kick.
pub struct Ring {
    queue: Queue,
    kick: EventFd,
    /// How many chains were completed since the driver's wish for an interrupt was read.
    completed: Wrapping<u16>,
}

/// The driver's ring makes no sense; nothing can be served from it before a reset.
#[derive(Debug, Error)]
#[error("the driver's ring is broken")]
pub struct BrokenRing {
    #[from]
    source: virtio_queue::Error,
}

/// A chain of descriptors that the driver has made available.
pub type Chain<'m> = DescriptorChain<&'m GuestMemoryMmap>;

/// The table of a ring's descriptors.
pub struct Table<'m>(VolatileSlice<'m>);

impl<'m> Table<'m> {
    /// The one writable buffer that the chain beginning with `head` is. Nothing where it is anything else, for which the chain itself has to be walked.
    #[must_use]
    pub fn single_writable(&self, memory: &'m GuestMemoryMmap, head: u16) -> Option<VolatileSlice<'m>> {
        let descriptor: Descriptor = self.0.read_obj(usize::from(head) * DESCRIPTOR_BYTES).ok()?;
        let is_single = !descriptor.has_next() && !descriptor.refers_to_indirect_table();
        if !is_single || !descriptor.is_write_only() {
            return None;
        }
        let bytes = usize::try_from(descriptor.len()).ok()?;
        memory.get_slice(descriptor.addr(), bytes).ok()
    }
}

impl Ring {
    pub(crate) fn new(queue: Queue, kick: EventFd) -> Self {
        Self {
            queue,
            kick,
            completed: Wrapping(0),
        }
    }

    /// How many chains the driver can have made available at once.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.queue.size()
    }

    /// Has the event loop report kicks, as `token`.
    ///
    /// # Errors
    ///
    /// When the event loop cannot take the descriptor.
    pub fn watch(&self, token: u32, ops: &mut EventOps<'_>) -> Result<(), event_manager::Error> {
        ops.add(Events::with_data(&self.kick, token, EventSet::IN))
    }

    /// Takes back the kick that woke the worker. Comes before the look into the ring: a later kick is a new event.
    pub fn clear_kick(&self) {
        // That there is none is no error: a reset or an earlier look may have taken it.
        let _ = self.kick.read();
    }

    /// Has the worker woken again although the driver does nothing.
    pub fn kick_again(&self) {
        // This fails only when the counter is full, and then the worker will be woken.
        let _ = self.kick.write(1);
    }

    /// Whether no chain waits and the driver knows that it has to kick for the next: then there is nothing to do before a kick.
    /// Only reads guest memory, so that a clone's queue at rest keeps sharing its pages with the template.
    #[must_use]
    pub fn is_at_rest(&self, memory: &GuestMemoryMmap) -> bool {
        let next = self.queue.next_avail();
        let waits = |index: Wrapping<u16>| index.0 != next;
        if self.queue.avail_idx(memory, Ordering::Acquire).map_or(true, waits) {
            return false;
        }
        // The wish for a kick: an index behind the used ring's entries, or flags in front of them (virtio 1.2, 2.7.8).
        let (offset, wish) = if self.queue.event_idx_enabled() {
            (4 + 8 * u64::from(self.queue.size()), next)
        } else {
            (0, 0)
        };
        let place = GuestAddress(self.queue.used_ring()).checked_add(offset);
        place.is_some_and(|place| {
            memory
                .read_obj::<u16>(place)
                .is_ok_and(|told| u16::from_le(told) == wish)
        })
    }

    /// The next chain; when there is none, the driver is asked for a kick with the one that will be.
    ///
    /// # Errors
    ///
    /// When the ring's indexes cannot be read or claim more than the ring can hold.
    pub fn next<'m>(&mut self, memory: &'m GuestMemoryMmap) -> Result<Option<Chain<'m>>, BrokenRing> {
        loop {
            if let Some(chain) = self.available(memory)?.next() {
                return Ok(Some(chain));
            }
            if self.comes_to_rest(memory)? {
                return Ok(None);
            }
        }
    }

    /// The chains that are available at this moment, for who takes several: how many there are is looked up once.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub fn available<'q, 'm>(
        &'q mut self,
        memory: &'m GuestMemoryMmap,
    ) -> Result<impl Iterator<Item = Chain<'m>> + use<'q, 'm>, BrokenRing> {
        Ok(self.queue.iter(memory)?)
    }

    /// The table of descriptors, for who looks at many of them; nothing where it is no one stretch of memory.
    #[must_use]
    pub fn table<'m>(&self, memory: &'m GuestMemoryMmap) -> Option<Table<'m>> {
        let bytes = usize::from(self.queue.size()) * DESCRIPTOR_BYTES;
        memory
            .get_slice(GuestAddress(self.queue.desc_table()), bytes)
            .ok()
            .map(Table)
    }

    /// Asks the driver for a kick with the next chain, unless one has come meanwhile; whether none has.
    ///
    /// # Errors
    ///
    /// As [`Self::next`].
    pub fn comes_to_rest(&mut self, memory: &GuestMemoryMmap) -> Result<bool, BrokenRing> {
        // A chain that came between the look and the request would bring no kick: look again.
        Ok(!self.queue.enable_notification(memory)?)
    }

    /// Undoes the last [`Ring::next`]; only a chain that was not completed, nor any behind it, may be put back.
    pub fn put_back(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Hands a chain back to the driver, `written` bytes of it filled by the device.
    ///
    /// # Errors
    ///
    /// When the head lies outside the ring, as a driver can write it.
    pub fn complete(&mut self, memory: &GuestMemoryMmap, head: u16, written: u32) -> Result<(), BrokenRing> {
        self.completed += 1;
        Ok(self.queue.add_used(memory, head, written)?)
    }

    /// Hands several chains back, so that the driver sees all of them or none: each with its head and how many bytes of it were filled.
    ///
    /// # Errors
    ///
    /// As [`Self::complete`].
    pub fn complete_together(&mut self, memory: &GuestMemoryMmap, chains: &[(u16, u32)]) -> Result<(), BrokenRing> {
        let Some((&(last, written), others)) = chains.split_last() else {
            return Ok(());
        };
        if others.iter().any(|(head, _)| *head >= self.queue.size()) {
            return Err(virtio_queue::Error::InvalidDescriptorIndex.into());
        }
        // An entry is a head and a length (virtio 1.2, 2.7.8). The index, which the last chain moves, makes them all valid.
        let entry = |(head, written): &(u16, u32)| (u64::from(*written) << 32 | u64::from(*head)).to_le_bytes();
        let entries: Vec<[u8; ENTRY_BYTES]> = others.iter().map(entry).collect();
        let next = self.queue.next_used() % self.queue.size();
        let (front, back) = entries.split_at(entries.len().min(usize::from(self.queue.size() - next)));
        for (entries, at) in [(front, next), (back, 0)] {
            let place = GuestAddress(self.queue.used_ring())
                .checked_add(4 + ENTRY_BYTES as u64 * u64::from(at))
                .ok_or(virtio_queue::Error::AddressOverflow)?;
            memory
                .write_slice(entries.as_flattened(), place)
                .map_err(virtio_queue::Error::GuestMemory)?;
        }
        // There are no more than the ring is long.
        let count = u16::try_from(others.len()).unwrap_or(u16::MAX);
        self.queue.set_next_used(self.queue.next_used().wrapping_add(count));
        self.completed += count;
        self.complete(memory, last, written)
    }

    /// Whether the driver wants to be interrupted for what was completed since the last call.
    ///
    /// # Errors
    ///
    /// When the driver's wish cannot be read.
    pub fn wants_interrupt(&mut self, memory: &GuestMemoryMmap) -> Result<bool, BrokenRing> {
        let completed = std::mem::take(&mut self.completed);
        if !self.queue.event_idx_enabled() {
            return Ok(self.queue.needs_notification(memory)?);
        }
        // What was completed has to be seen before the wish is read, or both sides wait (virtio 1.2, 2.7.7.2).
        fence(Ordering::SeqCst);
        let place = GuestAddress(self.queue.avail_ring())
            .checked_add(4 + 2 * u64::from(self.queue.size()))
            .ok_or(virtio_queue::Error::AddressOverflow)?;
        let wished: u16 = memory.read_obj(place).map_err(virtio_queue::Error::GuestMemory)?;
        let next = Wrapping(self.queue.next_used());
        Ok(next - Wrapping(u16::from_le(wished)) - Wrapping(1) < completed)
    }
}

#[cfg(test)]
mod tests {
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    use super::*;
    use crate::slots::testing::queue::{DriverQueue, into};
    use crate::slots::testing::{BUFFERS, MEMORY_BYTES};

    fn ring(driver: &DriverQueue, event_idx: bool) -> Ring {
        let mut queue = Queue::new(driver.entries).unwrap();
        let low = |address| Some(u32::try_from(address).unwrap());
        queue.set_desc_table_address(low(driver.table), Some(0));
        queue.set_avail_ring_address(low(driver.avail), Some(0));
        queue.set_used_ring_address(low(driver.used), Some(0));
        queue.set_event_idx(event_idx);
        queue.set_ready(true);
        Ring::new(queue, EventFd::new(EFD_NONBLOCK).unwrap())
    }

    #[test]
    fn a_queue_rests_when_its_driver_has_been_asked_for_a_kick() {
        for event_idx in [true, false] {
            let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).unwrap();
            let mut driver = DriverQueue::new(&memory, 0, 8, event_idx);
            let mut ring = ring(&driver, event_idx);
            assert!(ring.is_at_rest(&memory));
            driver.add(&[into(BUFFERS, 8)]);
            assert!(!ring.is_at_rest(&memory));
            let head = ring.next(&memory).unwrap().unwrap().head_index();
            ring.complete(&memory, head, 0).unwrap();
            // Only a look that finds nothing asks for a kick, if that is by an index.
            assert_eq!(ring.is_at_rest(&memory), !event_idx);
            assert!(ring.next(&memory).unwrap().is_none());
            assert!(ring.is_at_rest(&memory));
        }
    }

    /// The indexes have 16 bits, whatever the ring's size.
    #[test]
    fn indexes_pass_their_last_number_in_rings_of_every_size() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).unwrap();
        for (entries, event_idx) in [1, 2, 4, 8, 16]
            .into_iter()
            .flat_map(|size| [(size, true), (size, false)])
        {
            let mut driver = DriverQueue::new(&memory, 0, entries, event_idx);
            let mut ring = ring(&driver, event_idx);
            for number in 0..=u32::from(u16::MAX) + 20 {
                let head = driver.add(&[into(BUFFERS, 8)]);
                assert_eq!(ring.next(&memory).unwrap().unwrap().head_index(), head);
                ring.complete(&memory, head, number).unwrap();
                assert!(ring.wants_interrupt(&memory).unwrap(), "{number} of {entries}");
                assert_eq!(driver.take_used(), Some((head, number)));
                assert!(ring.next(&memory).unwrap().is_none());
            }
        }
    }

    #[test]
    fn a_queue_that_cannot_be_read_does_not_rest() {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY_BYTES)]).unwrap();
        let mut driver = DriverQueue::new(&memory, 0, 8, true);
        driver.used = MEMORY_BYTES as u64;
        assert!(!ring(&driver, true).is_at_rest(&memory));
        driver.avail = u64::from(u32::MAX - 1);
        assert!(!ring(&driver, true).is_at_rest(&memory));
    }
}
