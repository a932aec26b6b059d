//! What a microVM's devices have moved, counted where others can read it while the VMM runs and after.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sums that only grow. Their order in memory is that of `protocol::vmm::Counters`.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
}

/// Where devices count; nowhere, unless it was made [`of`](Self::of) something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter(Option<&'static Counters>);

impl Meter {
    /// Counts in `counters`.
    #[must_use]
    pub const fn of(counters: &'static Counters) -> Self {
        Self(Some(counters))
    }

    /// A frame of so many bytes came for the guest.
    pub fn received(self, bytes: usize) {
        self.add(|counters| &counters.received_bytes, bytes);
    }

    /// A frame of so many bytes came from the guest.
    pub fn sent(self, bytes: usize) {
        self.add(|counters| &counters.sent_bytes, bytes);
    }

    /// So much of a disk was read.
    pub fn read(self, bytes: usize) {
        self.add(|counters| &counters.read_bytes, bytes);
    }

    /// So much of a disk was written.
    pub fn written(self, bytes: usize) {
        self.add(|counters| &counters.written_bytes, bytes);
    }

    fn add(self, counter: impl Fn(&Counters) -> &AtomicU64, bytes: usize) {
        if let Some(counters) = self.0 {
            // Each is a sum of its own: nothing is ordered by it.
            counter(counters).fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
impl Counters {
    /// Some that nobody else has.
    pub(crate) fn of_test() -> &'static Self {
        Box::leak(Box::default())
    }

    /// Received, sent, read, written.
    pub(crate) fn values(&self) -> [u64; 4] {
        [
            &self.received_bytes,
            &self.sent_bytes,
            &self.read_bytes,
            &self.written_bytes,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    }
}
