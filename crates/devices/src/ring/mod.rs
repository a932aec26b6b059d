//! One virtqueue as a worker sees it: chains come in, completions go out, and a broken ring is an error, once.

pub mod buffers;
pub mod server;

use event_manager::{EventOps, EventSet, Events};
use thiserror::Error;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

/// A queue that the driver has enabled, with its kick.
pub struct Ring {
    queue: Queue,
    kick: EventFd,
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

impl Ring {
    pub(crate) fn new(queue: Queue, kick: EventFd) -> Self {
        Self { queue, kick }
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

    /// The next chain; when there is none, the driver is asked for a kick with the one that will be.
    ///
    /// # Errors
    ///
    /// When the ring's indexes cannot be read or claim more than the ring can hold.
    pub fn next<'m>(&mut self, memory: &'m GuestMemoryMmap) -> Result<Option<Chain<'m>>, BrokenRing> {
        loop {
            if let Some(chain) = self.queue.iter(memory)?.next() {
                return Ok(Some(chain));
            }
            // A chain that came between the look and the request would bring no kick: look again.
            if !self.queue.enable_notification(memory)? {
                return Ok(None);
            }
        }
    }

    /// Undoes the last [`Ring::next`]; only the chain that was not completed may be put back.
    pub fn put_back(&mut self) {
        self.queue.go_to_previous_position();
    }

    /// Hands a chain back to the driver, `written` bytes of it filled by the device.
    ///
    /// # Errors
    ///
    /// When the head lies outside the ring, as a driver can write it.
    pub fn complete(&mut self, memory: &GuestMemoryMmap, head: u16, written: u32) -> Result<(), BrokenRing> {
        Ok(self.queue.add_used(memory, head, written)?)
    }

    /// Whether the driver wants to be interrupted for what was completed since the last call.
    ///
    /// # Errors
    ///
    /// When the driver's wish cannot be read.
    pub fn wants_interrupt(&mut self, memory: &GuestMemoryMmap) -> Result<bool, BrokenRing> {
        Ok(self.queue.needs_notification(memory)?)
    }
}
