//! A disk's answers: one request, one piece of file I/O, one status byte.

use std::io;
use std::sync::Arc;

use crate::block::backend::Backend;
use crate::block::request::{self, Data, HEADER_BYTES, ID_BYTES, RANGE_BYTES, Refusal, Request};
use crate::limit::Cost;
use crate::limit::turn::Turn;
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
    /// What its requests may have to wait for.
    pub(super) turn: Option<Turn>,
}

/// The parts of a chain, wherever the driver has cut it (virtio 1.2, 2.7.4).
struct Parts<'m> {
    header: [u8; HEADER_BYTES],
    given: Span<'m>,
    room: Span<'m>,
    status: Span<'m>,
}

impl Service for Disk {
    fn serve(&mut self, buffers: &Buffers<'_>) -> Option<u32> {
        // Without a byte for the status there is no way to answer.
        let Some(parts) = Parts::of(buffers) else {
            return Some(0);
        };
        let request = self.parse(&parts);
        if let Ok(request) = request
            && !self.may_go(request)
        {
            return None;
        }
        let done = request.and_then(|request| self.transfer(request, &parts).map_err(|_| Refusal::Failed));
        let (status, filled) = match done {
            Ok(filled) => (OK, filled),
            Err(refusal) => (refusal as u8, 0),
        };
        parts.status.copy_from(&[status]);
        Some(u32::try_from(filled + 1).unwrap_or(u32::MAX))
    }

    fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
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
    /// What the driver asks for.
    fn parse(&self, parts: &Parts<'_>) -> Result<Request, Refusal> {
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
        request::parse(&parts.header, data, disk)
    }

    /// Whether it is the request's turn. One that costs nothing, such as a flush, waits for no other.
    fn may_go(&mut self, request: Request) -> bool {
        let Some(turn) = &mut self.turn else { return true };
        let cost = cost(request);
        cost == Cost::default() || turn.may_go(cost)
    }

    /// Does what the driver asks for; returns how many bytes of its room were filled.
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

/// What a request takes of a limit. A discard moves no bytes; zeros may have to be written.
const fn cost(request: Request) -> Cost {
    let bytes = match request {
        Request::Flush | Request::Identify => {
            return Cost {
                bytes: 0,
                operations: 0,
            };
        }
        Request::Discard(_) => 0,
        Request::Read(range) | Request::Write(range) | Request::WriteZeroes { range, .. } => range.bytes,
    };
    Cost { bytes, operations: 1 }
}
