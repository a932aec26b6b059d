//! The half of the device that serves its queues: what is urgent first.

use event_manager::{EventOps, Events, MutEventSubscriber};
use rustix::fs::Mode;
use rustix::process::umask;
use rustix::thread::UnshareFlags;
use vm_memory::GuestMemoryMmap;

use crate::fs::server::Server;
use crate::interrupt::Interrupt;
use crate::ring::buffers::Buffers;
use crate::ring::server::Service;
use crate::ring::{BrokenRing, Ring};

/// The most requests of one queue before the other has its turn.
const REQUESTS_PER_TURN_MAX: usize = 64;

/// The worker.
pub(super) struct Queues {
    pub(super) memory: GuestMemoryMmap,
    /// What nobody waits for, and then requests.
    pub(super) rings: [Ring; 2],
    pub(super) interrupt: Interrupt,
    pub(super) server: Server,
    pub(super) broken: bool,
}

impl Queues {
    fn serve(&mut self, index: usize) -> Result<(), BrokenRing> {
        let Some(ring) = self.rings.get_mut(index) else {
            return Ok(());
        };
        ring.clear_kick();
        let mut served = 0;
        while let Some(chain) = ring.next(&self.memory)? {
            let head = chain.head_index();
            // A malformed chain has no place for an answer: it goes back with nothing written.
            let written = Buffers::parse(&self.memory, chain)
                .ok()
                .and_then(|buffers| self.server.serve(&buffers))
                .unwrap_or(0);
            ring.complete(&self.memory, head, written)?;
            // Whoever waits for the answer does so now: the next request may take long.
            if ring.wants_interrupt(&self.memory)? {
                self.interrupt.raise_queue();
            }
            served += 1;
            if served == REQUESTS_PER_TURN_MAX {
                ring.kick_again();
                break;
            }
        }
        Ok(())
    }
}

impl MutEventSubscriber for Queues {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        // The guest says which permissions a new file has, its own mask applied; this thread's mask is not to take more away. The rest of the
        // process keeps its own.
        #[expect(deprecated, reason = "unsafe is only what concerns descriptors")]
        if rustix::thread::unshare(UnshareFlags::FS).is_ok() {
            umask(Mode::empty());
        }
        for (token, ring) in (0..).zip(&self.rings) {
            ring.kick_again();
            if ring.watch(token, ops).is_err() {
                self.interrupt.request_reset();
            }
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps<'_>) {
        let index = usize::try_from(events.data()).unwrap_or(usize::MAX);
        if !self.broken && self.serve(index).is_err() {
            self.broken = true;
        }
        if self.broken {
            self.rings.iter().for_each(Ring::clear_kick);
            if !self.interrupt.needs_reset() {
                self.interrupt.request_reset();
            }
        }
    }
}
