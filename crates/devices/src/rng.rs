//! virtio-rng (virtio 1.2, 5.4): random bytes for the guest, from whatever source the host gives.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;

use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::ring::buffers::Buffers;
use crate::ring::server::{Server, Service};

/// The most bytes that one request is given; a driver that wants more asks again.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Linux has one request under way at a time.
const QUEUE_SIZES: [u16; 1] = [8];

/// A source of random bytes, as the device and its worker hold it.
// Shared by the configuration half, which keeps it over a reset, and the worker on the device thread, which alone
// reads it; they never want it at the same time.
type Source = Arc<Mutex<dyn Read + Send>>;

/// A source of random bytes.
pub struct Rng {
    source: Source,
}

impl Rng {
    /// Passes on what is read from `source`, which should neither end nor wait.
    pub fn new(source: impl Read + Send + 'static) -> Self {
        Self {
            source: Arc::new(Mutex::new(source)),
        }
    }
}

impl VirtioDevice for Rng {
    fn device_type(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn queue_sizes(&self) -> &[u16] {
        &QUEUE_SIZES
    }

    fn features(&self) -> u64 {
        0
    }

    fn read_config(&self, _offset: u64, data: &mut [u8]) {
        // There is no configuration.
        data.fill(0);
    }

    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    fn activate(&mut self, mut activation: Activation) -> Result<Box<dyn Worker>, ActivateError> {
        let [ring] = activation.take_rings()?;
        let answers = Answers {
            source: Arc::clone(&self.source),
        };
        Ok(Box::new(Server::new(
            activation.memory,
            ring,
            activation.interrupt,
            answers,
        )))
    }

    fn reset(&mut self) {}
}

struct Answers {
    source: Source,
}

impl Service for Answers {
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        let mut bytes = [0; REQUEST_BYTES_MAX];
        let wanted = &mut bytes[..buffers.writable.len().min(REQUEST_BYTES_MAX)];
        // A source that a panic interrupted still gives bytes.
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        // Without random bytes the request is answered with none, never with bytes that are not random.
        let given = if source.read_exact(wanted).is_ok() {
            buffers.writable.copy_from(wanted)
        } else {
            0
        };
        Some(u32::try_from(given).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use vm_memory::{Bytes, GuestAddress};

    use super::*;
    use crate::slots::testing::queue::{into, out};
    use crate::slots::testing::{BUFFERS, Guest};

    #[test]
    fn requests_are_filled_up_to_the_limit() {
        let mut guest = Guest::with(Rng::new(io::repeat(0xab)));
        let mut queues = guest.bring_up(u64::MAX);
        for (buffers, expected) in [
            (vec![into(BUFFERS, 64)], 64),
            (vec![into(BUFFERS, 3), into(BUFFERS + 3, 4)], 7),
            (vec![into(BUFFERS, 8192)], 4096),
            (vec![into(BUFFERS, 0)], 0),
            (vec![out(BUFFERS, 64)], 0),
            (vec![out(BUFFERS, 64), into(BUFFERS, 8)], 8),
        ] {
            let head = queues[0].add(&buffers);
            guest.kick(0);
            assert_eq!(queues[0].take_used(), Some((head, expected)), "{buffers:?}");
        }
        let bytes: [u8; 8] = guest.memory.read_obj(GuestAddress(BUFFERS)).unwrap();
        assert_eq!(bytes, [0xab; 8]);
    }

    #[test]
    fn a_source_that_fails_gives_nothing() {
        let mut guest = Guest::with(Rng::new(io::empty()));
        let mut queues = guest.bring_up(u64::MAX);
        let head = queues[0].add(&[into(BUFFERS, 64)]);
        guest.kick(0);
        assert_eq!(queues[0].take_used(), Some((head, 0)));
    }
}
