//! The driver's half of a virtqueue (virtio 1.2, 2.7), honest unless a test asks otherwise.

use std::collections::HashMap;

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The entries of a test's queues.
pub(crate) const QUEUE_ENTRIES: u16 = 16;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// One buffer of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    pub(crate) bytes: u32,
    pub(crate) writable: bool,
}

/// A buffer that the device reads.
pub(crate) fn out(address: u64, bytes: u32) -> Buffer {
    Buffer {
        address,
        bytes,
        writable: false,
    }
}

/// A buffer that the device writes.
pub(crate) fn into(address: u64, bytes: u32) -> Buffer {
    Buffer {
        address,
        bytes,
        writable: true,
    }
}

/// A queue.
#[derive(Debug)]
pub(crate) struct DriverQueue {
    pub(crate) index: u32,
    pub(crate) entries: u16,
    pub(crate) table: u64,
    pub(crate) avail: u64,
    pub(crate) used: u64,
    memory: GuestMemoryMmap,
    event_idx: bool,
    free: Vec<u16>,
    chains: HashMap<u16, Vec<u16>>,
    added: u16,
    seen: u16,
}

impl DriverQueue {
    /// An empty queue at the place that belongs to its index.
    pub(crate) fn new(memory: &GuestMemoryMmap, index: u32, entries: u16, event_idx: bool) -> Self {
        let base = 0x1000 * (u64::from(index) + 1);
        memory.write_slice(&[0; 0x1000], GuestAddress(base)).unwrap();
        Self {
            index,
            entries,
            table: base,
            avail: base + 0x400,
            used: base + 0x800,
            memory: memory.clone(),
            event_idx,
            free: (0..entries).rev().collect(),
            chains: HashMap::new(),
            added: 0,
            seen: 0,
        }
    }

    /// Writes one entry of the table, whatever it says.
    pub(crate) fn write_descriptor(&self, table: u64, index: u16, (address, bytes): (u64, u32), flags: u16, next: u16) {
        let at = GuestAddress(table + u64::from(index) * 16);
        let mut entry = [0; 16];
        entry[..8].copy_from_slice(&address.to_le_bytes());
        entry[8..12].copy_from_slice(&bytes.to_le_bytes());
        entry[12..14].copy_from_slice(&flags.to_le_bytes());
        entry[14..].copy_from_slice(&next.to_le_bytes());
        self.memory.write_slice(&entry, at).unwrap();
    }

    /// Writes a chain to a table, from its entry 0 on.
    pub(crate) fn write_chain(&self, table: u64, indexes: &[u16], buffers: &[Buffer]) {
        for (place, (&index, buffer)) in indexes.iter().zip(buffers).enumerate() {
            let next = indexes.get(place + 1).copied();
            let flags = next.map_or(0, |_| NEXT) | if buffer.writable { WRITE } else { 0 };
            self.write_descriptor(table, index, (buffer.address, buffer.bytes), flags, next.unwrap_or(0));
        }
    }

    /// Makes a chain available; returns its head.
    pub(crate) fn add(&mut self, buffers: &[Buffer]) -> u16 {
        let indexes = self.free.split_off(self.free.len() - buffers.len());
        self.write_chain(self.table, &indexes, buffers);
        let head = indexes[0];
        self.chains.insert(head, indexes);
        self.offer(head);
        head
    }

    /// Makes whatever begins at entry `head` available.
    pub(crate) fn offer(&mut self, head: u16) {
        let place = GuestAddress(self.avail + 4 + u64::from(self.added % self.entries) * 2);
        self.memory.write_obj(head.to_le(), place).unwrap();
        self.added = self.added.wrapping_add(1);
        self.set_avail_index(self.added);
    }

    /// Claims that so many chains were made available in all.
    pub(crate) fn set_avail_index(&self, index: u16) {
        self.memory
            .write_obj(index.to_le(), GuestAddress(self.avail + 2))
            .unwrap();
    }

    /// Takes back the next used chain: its head, and how many bytes were written.
    pub(crate) fn take_used(&mut self) -> Option<(u16, u32)> {
        let index: u16 = self.memory.read_obj(GuestAddress(self.used + 2)).unwrap();
        if index == self.seen {
            return None;
        }
        let place = self.used + 4 + u64::from(self.seen % self.entries) * 8;
        let head: u32 = self.memory.read_obj(GuestAddress(place)).unwrap();
        let bytes: u32 = self.memory.read_obj(GuestAddress(place + 4)).unwrap();
        self.seen = self.seen.wrapping_add(1);
        if self.event_idx {
            // The next used chain shall bring an interrupt.
            let event = GuestAddress(self.avail + 4 + u64::from(self.entries) * 2);
            self.memory.write_obj(self.seen.to_le(), event).unwrap();
        }
        let head = u16::try_from(head).unwrap();
        self.free.extend(self.chains.remove(&head).unwrap_or_default());
        Some((head, bytes))
    }
}
