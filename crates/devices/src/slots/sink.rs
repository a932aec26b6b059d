//! Where workers live: the device thread, seen from the bus, and the numbers by which both name a slot.

use std::fmt;

use crate::device::{ActivateError, Worker};

/// How many windows a guest has; fixed, since they are named on its command line.
pub const SLOT_COUNT: usize = 16;

/// The number of a slot, below [`SLOT_COUNT`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotIndex(usize);

impl SlotIndex {
    /// `None` if there is no such slot.
    #[must_use]
    pub const fn new(index: usize) -> Option<Self> {
        if index < SLOT_COUNT { Some(Self(index)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
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
