//! The host's end of a connection: a non-blocking unix socket, and the bytes that it does not take yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use rustix::net::RecvFlags;
use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use crate::ring::buffers::Span;
use crate::vsock::flow::BUFFER_BYTES;
use crate::vsock::greeting::{self, GREETING_BYTES_MAX, Greeting};

/// A unix socket with a buffer in front of it.
///
/// It does not bound its buffer: what comes to it is bounded by the credit that the guest is given.
#[derive(Debug)]
pub(super) struct HostSocket {
    stream: UnixStream,
    pending: VecDeque<u8>,
    /// Whether nobody reads at the other end. Then whatever is sent is given up.
    deaf: bool,
    /// Whether the other end was told that nothing more will be sent.
    ended: bool,
}

/// How a read has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReadEnd {
    /// There was more than there was room for.
    Full,
    /// There is no more now.
    Empty,
    /// There will be no more.
    Over,
    /// There will be no more, and nobody reads either.
    Broken,
}

impl HostSocket {
    /// The stream is non-blocking.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            pending: VecDeque::new(),
            deaf: false,
            ended: false,
        }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// Sends from guest memory, behind what was sent before. Returns how many bytes need no keeping: they were taken by
    /// the host, or given up.
    pub(super) fn send(&mut self, payload: &Span<'_>) -> usize {
        let written = if self.pending.is_empty() && !self.deaf {
            self.write(payload)
        } else {
            0
        };
        if self.deaf {
            return payload.len() + self.give_up();
        }
        let (_, rest) = payload.split_at(written);
        if !rest.is_empty() {
            self.keep(&rest);
        }
        written
    }

    /// Writes until the host takes no more. That nobody reads is an error and no signal: Rust programs ignore `SIGPIPE`.
    fn write(&mut self, payload: &Span<'_>) -> usize {
        let mut done = 0;
        for &slice in payload.slices() {
            match retry(|| (&self.stream).write_volatile(&slice)) {
                Ok(count) => {
                    done += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(error) => {
                    self.deaf = error.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        done
    }

    fn keep(&mut self, rest: &Span<'_>) {
        let mut copy = vec![0; rest.len()];
        rest.copy_to(&mut copy);
        if self.pending.capacity() == 0 {
            // All it can ever hold, so that growing does not double the bound.
            self.pending.reserve_exact(usize::try_from(BUFFER_BYTES).unwrap_or(0));
        }
        self.pending.extend(copy);
    }

    /// Sends what was kept. Returns how many bytes need no keeping any more.
    pub(super) fn flush(&mut self) -> usize {
        let mut done = 0;
        while !self.pending.is_empty() {
            let (front, back) = self.pending.as_slices();
            match self.stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)]) {
                Ok(count) => {
                    self.pending.drain(..count);
                    done += count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return done,
                Err(_) => {
                    self.deaf = true;
                    done += self.give_up();
                }
            }
        }
        self.pending = VecDeque::new();
        done
    }

    /// Forgets what was kept. Returns how many bytes that were.
    pub(super) fn give_up(&mut self) -> usize {
        std::mem::take(&mut self.pending).len()
    }

    /// Reads into guest memory. Returns how many bytes came, and why not more.
    pub(super) fn read(&mut self, room: &Span<'_>) -> (usize, ReadEnd) {
        let mut done = 0;
        for &slice in room.slices() {
            let mut slice = slice;
            match retry(|| (&self.stream).read_volatile(&mut slice)) {
                Ok(0) => return (done, ReadEnd::Over),
                Ok(count) => {
                    done += count;
                    if count < slice.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return (done, ReadEnd::Empty),
                Err(_) => return (done, ReadEnd::Broken),
            }
        }
        // A short read need not mean that there is no more: only the next one will tell.
        (done, ReadEnd::Full)
    }

    /// Takes a client's greeting, if all of it is there.
    pub(super) fn take_greeting(&mut self) -> Greeting {
        let mut bytes = [0; GREETING_BYTES_MAX];
        // Looked at, not taken: what follows the line is for the guest.
        let count = match rustix::net::recv(&self.stream, &mut bytes, RecvFlags::PEEK) {
            Ok((count, _)) if count > 0 => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Greeting::Incomplete,
            _ => return Greeting::Invalid,
        };
        match greeting::parse(&bytes[..count]) {
            Greeting::Connect { bytes: length, .. } if self.stream.read_exact(&mut bytes[..length]).is_err() => {
                Greeting::Invalid
            }
            greeting => greeting,
        }
    }

    /// Answers a client's greeting. Nothing was written to the socket before, so a line fits; if not, the client is gone.
    pub(super) fn answer_greeting(&mut self, host_port: u32) -> bool {
        let line = greeting::answer(host_port);
        matches!(self.stream.write(line.as_bytes()), Ok(count) if count == line.len())
    }

    /// Tells the other end that nothing more will be sent.
    pub(super) fn end_sending(&mut self) {
        // Once only: each time wakes whoever watches the socket, and that is the event loop that brought us here.
        if !std::mem::replace(&mut self.ended, true) {
            self.shut(Shutdown::Write);
        }
    }

    /// Tells the other end that nothing more will be read.
    pub(super) fn end_receiving(&self) {
        self.shut(Shutdown::Read);
    }

    fn shut(&self, how: Shutdown) {
        // This fails only when the other end is gone, and then nobody is left to be told.
        let _ = self.stream.shutdown(how);
    }

    /// Closes in order: the host reads an end, and no error, behind the last byte.
    pub(super) fn close(mut self) {
        self.shut(Shutdown::Both);
        // A unix socket that is closed with bytes unread resets its peer. None come any more, so this ends.
        let mut rest = [0; 4096];
        while matches!(self.stream.read(&mut rest), Ok(count) if count > 0) {}
    }
}

/// Repeats an operation on guest memory that a signal interrupts.
fn retry(mut operation: impl FnMut() -> Result<usize, VolatileMemoryError>) -> io::Result<usize> {
    loop {
        match operation() {
            Err(VolatileMemoryError::IOError(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(VolatileMemoryError::IOError(error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error)),
            Ok(count) => return Ok(count),
        }
    }
}
