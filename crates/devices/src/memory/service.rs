//! A memory device's answers: one request, one look into the blocks, and what is unplugged goes back to the host.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::discard::Discard;
use crate::memory::blocks::Blocks;
use crate::memory::region::{BLOCK_BYTES, Region};
use crate::memory::request::{self, REQUEST_BYTES, RESPONSE_BYTES, Request, Response};
use crate::ring::buffers::Buffers;
use crate::ring::server::Service;

/// What both halves of the device know of its blocks.
pub(super) struct Plugged {
    // The worker holds this while it answers, the configuration half keeps it over a reset, at which no block may change
    // (virtio 1.2, 5.15.5.2). vCPU threads never take it: the worker may be long in giving memory back.
    blocks: Mutex<Blocks>,
    // Written by the worker in front of each answer, and read by vCPU threads for the configuration space.
    bytes: AtomicU64,
}

impl Plugged {
    pub(super) fn new(blocks: Blocks) -> Self {
        Self {
            blocks: Mutex::new(blocks),
            bytes: AtomicU64::new(0),
        }
    }

    /// How much is plugged, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }
}

/// The worker's half.
pub(super) struct Answers {
    pub(super) region: Region,
    pub(super) plugged: Arc<Plugged>,
    pub(super) pages: Arc<dyn Discard>,
}

impl Service for Answers {
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        // Without room for the whole response there is no way to answer, and so nothing is done.
        if buffers.writable.len() < RESPONSE_BYTES {
            return Some(0);
        }
        let mut bytes = [0; REQUEST_BYTES];
        let given = buffers.readable.copy_to(&mut bytes);
        let response =
            request::parse(&bytes[..given], self.region).map_or(Response::Nonsense, |request| self.perform(request));
        let written = buffers.writable.copy_from(&response.to_bytes());
        Some(u32::try_from(written).unwrap_or(0))
    }
}

impl Answers {
    fn perform(&self, request: Request) -> Response {
        // A request that a panic interrupted has left the blocks as they were, or changed as a whole.
        let mut blocks = self.plugged.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let (response, discarded) = match request {
            Request::Plug(range) => (blocks.plug(range), None),
            Request::Unplug(range) => (blocks.unplug(range.clone()), Some(self.addresses(&range))),
            Request::UnplugAll => (
                blocks.unplug_all(),
                Some((self.region.start, self.region.usable_bytes())),
            ),
            Request::State(range) => (blocks.state(range), None),
        };
        self.plugged
            .bytes
            .store(blocks.count() as u64 * BLOCK_BYTES, Ordering::Release);
        if let (Response::Acknowledged, Some((start, bytes @ 1..))) = (response, discarded) {
            self.pages.discard(start, bytes);
        }
        response
    }

    /// Where blocks begin, and how many bytes they have.
    fn addresses(&self, range: &Range<usize>) -> (u64, u64) {
        let start = self.region.start + range.start as u64 * BLOCK_BYTES;
        (start, range.len() as u64 * BLOCK_BYTES)
    }
}
