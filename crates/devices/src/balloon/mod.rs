//! virtio-balloon (virtio 1.2, 5.5) for free page reporting: the guest tells which pages it does not use, and the host takes
//! them back until they are touched again.
//!
//! The balloon itself is never blown up: that is what the driver's two other queues are for, which are served all the same.

pub mod pages;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_BALLOON;

use crate::balloon::worker::Queues;
use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::discard::Discard;
use crate::ring::Ring;

/// Behind it comes the queue by which the driver takes pages back.
const INFLATE: usize = 0;
/// The specification says 4; but Linux gives no index to a queue whose feature is not agreed on, and neither the statistics'
/// nor the hints' is offered.
const REPORTS: usize = 2;

/// Linux has one chain under way in each, with one buffer in the first two, and refuses to report to a queue of less than 32.
const QUEUE_SIZES: [u16; 3] = [8, 8, 32];

/// `VIRTIO_BALLOON_F_PAGE_REPORTING`.
const PAGE_REPORTING: u64 = 1 << 5;

/// A balloon that stays empty.
pub struct Balloon {
    pages: Arc<dyn Discard>,
}

impl Balloon {
    /// Pages that the guest does not use go back to the host by way of `pages`.
    #[must_use]
    pub fn new(pages: Box<dyn Discard>) -> Self {
        Self { pages: pages.into() }
    }
}

impl VirtioDevice for Balloon {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_BALLOON
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        // Not `PAGE_POISON`: a page that was given back holds anything, and a driver to which that matters does not report.
        PAGE_REPORTING
    }

    fn read_config(&self, _offset: u64, data: &mut [u8]) {
        // No page is wanted in the balloon, and so none is in it.
        data.fill(0);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {
        // The one writable field says how many pages are in the balloon, and nobody asks.
    }

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let rings: Vec<Ring> = if activation.features & PAGE_REPORTING == 0 {
            activation.queues.truncate(REPORTS);
            activation.kicks.truncate(REPORTS);
            activation.take_rings::<REPORTS>()?.into()
        } else {
            activation.take_rings::<{ QUEUE_SIZES.len() }>()?.into()
        };
        Ok(Box::new(Queues::new(
            activation.memory,
            rings,
            activation.interrupt,
            Arc::clone(&self.pages),
        )))
    }

    fn reset(&mut self) {}
}
