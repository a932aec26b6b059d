//! A disk's answers: one request, one piece of file I/O, one status byte.

use std::io;
use std::sync::Arc;

use crate::block::backend::Backend;
use crate::block::request::{self, Data, HEADER_BYTES, ID_BYTES, RANGE_BYTES, Refusal, Request};
use crate::meter::Meter;
use crate::ring::buffers::{Buffers, Span};
use crate::ring::server::Service;

/// `VIRTIO_BLK_S_OK`.
const OK: u8 = 0;

/// A disk that the driver has set up.
pub(super) struct Disk {
    pub(super) backend: Arc<Backend>,
    pub(super) id: [u8; ID_BYTES],
    /// Whether each write is made durable before it is answered.
    pub(super) write_through: bool,
    /// Where its reads and writes are counted.
    pub(super) meter: Meter,
}

/// The parts of a chain, wherever the driver has cut it (virtio 1.2, 2.7.4).
struct Parts<'m> {
    header: [u8; HEADER_BYTES],
    given: Span<'m>,
    room: Span<'m>,
    status: Span<'m>,
}

impl Service for Disk {
    fn serve(&mut self, buffers: &Buffers<'_>) -> u32 {
        // Without a byte for the status there is no way to answer.
        let Some(parts) = Parts::of(buffers) else { return 0 };
        let (status, filled) = match self.perform(&parts) {
            Ok(filled) => (OK, filled),
            Err(refusal) => (refusal as u8, 0),
        };
        parts.status.copy_from(&[status]);
        u32::try_from(filled + 1).unwrap_or(u32::MAX)
    }
}

impl<'m> Parts<'m> {
    fn of(buffers: &Buffers<'m>) -> Option<Self> {
        let mut header = [0; HEADER_BYTES];
        let (front, given) = buffers.readable.split_at(HEADER_BYTES);
        let (room, status) = buffers.writable.split_at(buffers.writable.len().checked_sub(1)?);
        (front.copy_to(&mut header) == HEADER_BYTES).then_some(Self {
            header,
            given,
            room,
            status,
        })
    }
}

impl Disk {
    /// Does what the driver asks for; returns how many bytes of its room were filled, or why not.
    fn perform(&self, parts: &Parts<'_>) -> Result<usize, Refusal> {
        let mut given = [0; RANGE_BYTES];
        parts.given.copy_to(&mut given);
        let data = Data {
            given_bytes: parts.given.len() as u64,
            given: &given,
            room_bytes: parts.room.len() as u64,
        };
        let disk = request::Disk {
            capacity_bytes: self.backend.capacity_bytes(),
            writable: self.backend.is_writable(),
        };
        let request = request::parse(&parts.header, data, disk)?;
        self.transfer(request, parts).map_err(|_| Refusal::Failed)
    }

    fn transfer(&self, request: Request, parts: &Parts<'_>) -> io::Result<usize> {
        match request {
            Request::Read(range) => {
                self.backend.read_at(range.offset, &parts.room)?;
                self.meter.read(parts.room.len());
                return Ok(parts.room.len());
            }
            Request::Identify => return Ok(parts.room.copy_from(&self.id)),
            Request::Flush => self.backend.flush()?,
            Request::Write(range) => {
                self.backend.write_at(range.offset, &parts.given)?;
                self.meter.written(parts.given.len());
                self.settle()?;
            }
            Request::Discard(range) => self.backend.discard(range)?,
            Request::WriteZeroes { range, unmap } => {
                self.backend.write_zeroes(range, unmap)?;
                self.settle()?;
            }
        }
        Ok(0)
    }

    fn settle(&self) -> io::Result<()> {
        if self.write_through {
            self.backend.flush()
        } else {
            Ok(())
        }
    }
}
