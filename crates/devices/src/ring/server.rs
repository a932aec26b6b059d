//! The worker of a device with one queue whose requests are answered at once, in order.

use event_manager::{EventOps, Events, MutEventSubscriber};
use vm_memory::GuestMemoryMmap;

use crate::interrupt::Interrupt;
use crate::limit::turn::Turn;
use crate::ring::buffers::Buffers;
use crate::ring::{BrokenRing, Ring};

/// What a device does with one request.
pub(crate) trait Service: Send {
    /// Answers a request in place; returns how many bytes of the writable buffers were written. None where it has to wait: it is then asked
    /// again when [`Self::turn`] has come.
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32>;

    /// What its requests may have to wait for.
    fn turn(&self) -> Option<&Turn> {
        None
    }
}

const RING: u32 = 0;
const TURN: u32 = 1;

/// Serves one ring.
pub(crate) struct Server<S> {
    pub(crate) memory: GuestMemoryMmap,
    pub(crate) ring: Ring,
    pub(crate) interrupt: Interrupt,
    pub(crate) service: S,
    broken: bool,
}

impl<S: Service> Server<S> {
    pub(crate) fn new(memory: GuestMemoryMmap, ring: Ring, interrupt: Interrupt, service: S) -> Self {
        Self {
            memory,
            ring,
            interrupt,
            service,
            broken: false,
        }
    }

    fn serve(&mut self) -> Result<(), BrokenRing> {
        let mut served = 0;
        while let Some(chain) = self.ring.next(&self.memory)? {
            let head = chain.head_index();
            // A malformed chain has no place for an answer: it goes back with nothing written.
            let written = Buffers::parse(&self.memory, chain).map_or(Some(0), |buffers| self.service.serve(&buffers));
            let Some(written) = written else {
                self.ring.put_back();
                break;
            };
            self.ring.complete(&self.memory, head, written)?;
            served += 1;
            if served == self.ring.size() {
                // A driver that never stops must not keep the other devices from their turn.
                self.ring.kick_again();
                break;
            }
        }
        if served > 0 && self.ring.wants_interrupt(&self.memory)? {
            self.interrupt.raise_queue();
        }
        Ok(())
    }
}

impl<S: Service> MutEventSubscriber for Server<S> {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        // Buffers may be waiting already: a clone's driver has kicked before the clone was made.
        self.ring.kick_again();
        let turn = self.service.turn().map_or(Ok(()), |turn| turn.watch(TURN, ops));
        if turn.and_then(|()| self.ring.watch(RING, ops)).is_err() {
            self.interrupt.request_reset();
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps<'_>) {
        if events.data() == RING {
            self.ring.clear_kick();
        }
        if !self.broken && self.serve().is_err() {
            self.broken = true;
            self.interrupt.request_reset();
        }
    }
}
