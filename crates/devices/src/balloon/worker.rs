//! The half of the device that serves its queues: each page that the driver names is given back to the host.

use std::sync::Arc;

use event_manager::{EventOps, Events, MutEventSubscriber};
use vm_memory::{GuestAddress, GuestMemory, GuestMemoryMmap, Permissions};

use crate::balloon::pages::{self, NUMBER_BYTES, NUMBERS_MAX, Pages};
use crate::balloon::{INFLATE, REPORTS};
use crate::discard::Discard;
use crate::interrupt::Interrupt;
use crate::ring::buffers::{Buffers, ChainError, writable_places};
use crate::ring::{BrokenRing, Chain, Ring};

/// The most chains of one queue that are served before the other devices have their turn. Linux has one under way at a time.
const CHAINS_PER_TURN_MAX: usize = 4;

/// The most buffers of one report that are looked at. Linux sends as many; the others stay the guest's.
const REPORT_BUFFERS_MAX: usize = 32;

/// The worker.
pub(super) struct Queues {
    memory: GuestMemoryMmap,
    /// By their indexes; the last is there if the driver reports pages.
    rings: Vec<Ring>,
    interrupt: Interrupt,
    pages: Arc<dyn Discard>,
    broken: bool,
}

impl Queues {
    pub(super) fn new(
        memory: GuestMemoryMmap,
        rings: Vec<Ring>,
        interrupt: Interrupt,
        pages: Arc<dyn Discard>,
    ) -> Self {
        Self {
            memory,
            rings,
            interrupt,
            pages,
            broken: false,
        }
    }

    fn serve(&mut self, index: usize) -> Result<(), BrokenRing> {
        let Some(ring) = self.rings.get_mut(index) else {
            return Ok(());
        };
        let mut served = 0;
        while let Some(chain) = ring.next(&self.memory)? {
            let head = chain.head_index();
            // A malformed chain goes back as any other: there is no answer that could say so.
            let _ = match index {
                INFLATE => inflate(&self.memory, chain, self.pages.as_ref()),
                REPORTS => report(&self.memory, chain, self.pages.as_ref()),
                // Memory comes back to the guest as soon as it is touched.
                _ => Ok(()),
            };
            ring.complete(&self.memory, head, 0)?;
            served += 1;
            if served == CHAINS_PER_TURN_MAX {
                ring.kick_again();
                break;
            }
        }
        if served > 0 && ring.wants_interrupt(&self.memory)? {
            self.interrupt.raise_queue();
        }
        Ok(())
    }

    fn turn(&mut self, index: usize) {
        if !self.broken && self.serve(index).is_err() {
            self.break_down();
        }
    }

    fn break_down(&mut self) {
        self.broken = true;
        self.interrupt.request_reset();
    }
}

/// Gives back the pages whose numbers are in the chain.
fn inflate(memory: &GuestMemoryMmap, chain: Chain<'_>, owner: &dyn Discard) -> Result<(), ChainError> {
    let buffers = Buffers::parse(memory, chain)?;
    let mut numbers = [0; NUMBERS_MAX * NUMBER_BYTES];
    let given = buffers.readable.copy_to(&mut numbers);
    for pages in pages::parse(&numbers[..given]) {
        discard(memory, pages, owner);
    }
    Ok(())
}

/// Gives back the pages that the chain consists of.
fn report(memory: &GuestMemoryMmap, chain: Chain<'_>, owner: &dyn Discard) -> Result<(), ChainError> {
    let places = writable_places(memory, chain)?;
    for (address, bytes) in places.into_iter().take(REPORT_BUFFERS_MAX) {
        if let Some(pages) = Pages::inside(address, bytes) {
            discard(memory, pages, owner);
        }
    }
    Ok(())
}

/// Gives pages back that are memory; there is nothing to give back where there is none.
fn discard(memory: &GuestMemoryMmap, pages: Pages, owner: &dyn Discard) {
    let Ok(bytes) = usize::try_from(pages.bytes) else {
        return;
    };
    if memory.check_range(GuestAddress(pages.start), bytes, Permissions::Write) {
        owner.discard(pages.start, pages.bytes);
    }
}

impl MutEventSubscriber for Queues {
    fn init(&mut self, ops: &mut EventOps<'_>) {
        for (token, ring) in (0..).zip(&self.rings) {
            if ring.watch(token, ops).is_err() {
                self.break_down();
                return;
            }
        }
        // Chains may be waiting already: a clone's driver has kicked before the clone was made. A look into a queue at rest
        // would write to it, and so copy a page that the clone shares with its template.
        for index in 0..self.rings.len() {
            if !self.rings[index].is_at_rest(&self.memory) {
                self.turn(index);
            }
        }
    }

    fn process(&mut self, events: Events, _ops: &mut EventOps<'_>) {
        let Ok(index) = usize::try_from(events.data()) else {
            return;
        };
        if let Some(ring) = self.rings.get(index) {
            ring.clear_kick();
        }
        self.turn(index);
    }
}
