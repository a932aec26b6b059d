//! Buffers that the driver has for frames, taken off the ring in advance: as many as the next frame may need.

use std::collections::VecDeque;

use vm_memory::{GuestMemoryMmap, VolatileSlice};

use crate::net::header::{BUFFERS_AT, HEADER_BYTES};
use crate::net::vectored::STRETCHES_MAX;
use crate::ring::{BrokenRing, Chain, Ring, Table, buffers};

/// A chain that was taken and not completed.
struct Taken {
    head: u16,
    bytes: usize,
    stretches: usize,
}

/// Chains in the order of the ring, as one stretch of memory.
#[derive(Default)]
pub(super) struct Room<'m> {
    chains: VecDeque<Taken>,
    slices: Vec<VolatileSlice<'m>>,
    bytes: usize,
}

impl<'m> Room<'m> {
    /// How long a frame may be, its header included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many chains are taken.
    pub(super) fn chains(&self) -> usize {
        self.chains.len()
    }

    /// All of it.
    pub(super) fn slices(&self) -> &[VolatileSlice<'m>] {
        &self.slices
    }

    /// Takes chains until there is room for `bytes`, there are `chains_max` of them, or the ring is empty. A chain that is no room goes back
    /// to the driver; whether there was one.
    pub(super) fn gather(
        &mut self,
        ring: &mut Ring,
        memory: &'m GuestMemoryMmap,
        bytes: usize,
        chains_max: usize,
    ) -> Result<bool, BrokenRing> {
        let lacks = |room: &Self| room.bytes < bytes && room.chains.len() < chains_max;
        if !lacks(self) {
            return Ok(false);
        }
        let mut has_refused = false;
        let table = ring.table(memory);
        while lacks(self) {
            let mut refused = None;
            let mut chains = ring.available(memory)?;
            while refused.is_none() && lacks(self) {
                let Some(chain) = chains.next() else { break };
                refused = self.take(table.as_ref(), memory, chain).err();
            }
            drop(chains);
            match refused {
                Some(head) if self.chains.is_empty() => {
                    ring.complete(memory, head, 0)?;
                    has_refused = true;
                }
                Some(_) => {
                    // Its turn comes when those in front of it are completed.
                    ring.put_back();
                    break;
                }
                None if lacks(self) && ring.comes_to_rest(memory)? => break,
                None => {}
            }
        }
        Ok(has_refused)
    }

    /// Takes one chain; gives the head of one that is no room.
    fn take(&mut self, table: Option<&Table<'m>>, memory: &'m GuestMemoryMmap, chain: Chain<'m>) -> Result<(), u16> {
        let (head, before) = (chain.head_index(), self.slices.len());
        let bytes = match table.and_then(|table| table.single_writable(memory, head)) {
            // As drivers have their buffers.
            Some(slice) => {
                self.slices.push(slice);
                slice.len()
            }
            None => buffers::add_writable(memory, chain, &mut self.slices).unwrap_or(0),
        };
        // A buffer has room for a header at least (virtio 1.2, 5.1.6.3.1).
        if bytes < HEADER_BYTES || self.slices.len() > STRETCHES_MAX {
            self.slices.truncate(before);
            return Err(head);
        }
        self.bytes += bytes;
        self.chains.push_back(Taken {
            head,
            bytes,
            stretches: self.slices.len() - before,
        });
        Ok(())
    }

    /// Writes `bytes` to what is `at` bytes behind the begin.
    pub(super) fn write(&self, at: usize, bytes: &[u8]) {
        let (mut skipped, mut done) = (at, 0);
        for slice in &self.slices {
            let from = skipped.min(slice.len());
            skipped -= from;
            // `from` is not behind the slice's end.
            if let Ok(rest) = slice.offset(from) {
                let count = rest.len().min(bytes.len() - done);
                rest.copy_from(&bytes[done..done + count]);
                done += count;
            }
        }
    }

    /// Reads back to `bytes` what is in front.
    pub(super) fn read(&self, bytes: &mut [u8]) {
        let mut done = 0;
        for slice in &self.slices {
            done += slice.copy_to(&mut bytes[done..]);
        }
    }

    /// Hands the frame of `bytes` bytes that is in front to the driver; there is room for it.
    pub(super) fn deliver(
        &mut self,
        ring: &mut Ring,
        memory: &GuestMemoryMmap,
        bytes: usize,
    ) -> Result<(), BrokenRing> {
        let mut left = bytes;
        let mut full = Vec::new();
        let mut stretches = 0;
        while left > 0 {
            let Some(taken) = self.chains.pop_front() else { break };
            let written = left.min(taken.bytes);
            left -= written;
            self.bytes -= taken.bytes;
            stretches += taken.stretches;
            full.push((taken.head, u32::try_from(written).unwrap_or(u32::MAX)));
        }
        // A ring has at most 32,768 entries.
        let count = u16::try_from(full.len()).unwrap_or(u16::MAX);
        self.write(BUFFERS_AT, &count.to_le_bytes());
        self.slices.drain(..stretches);
        ring.complete_together(memory, &full)
    }

    /// Puts back what is left.
    pub(super) fn release(self, ring: &mut Ring) {
        for _ in self.chains {
            ring.put_back();
        }
    }
}
