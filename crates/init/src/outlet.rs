//! One output stream of a process: what it writes, kept until the host has it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::frame::Piece;
use protocol::guest::Stream;
use protocol::window::{Sender, WindowError};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};

/// Room for the first bytes. What is kept doubles from there on, so that a process that says little takes little memory.
const ROOM_LEN_MIN: usize = 4096;

/// The stream.
#[derive(Debug)]
pub struct Outlet {
    process: u32,
    stream: Stream,
    /// What the process writes to, from the other side, until its end.
    source: Option<OwnedFd>,
    sender: Sender,
}

impl Outlet {
    /// Nothing was read yet from `source`, which does not block.
    pub fn new(process: u32, stream: Stream, source: OwnedFd) -> Self {
        Self {
            process,
            stream,
            source: Some(source),
            sender: Sender::default(),
        }
    }

    /// Whether this is that stream.
    pub fn is(&self, process: u32, stream: Stream) -> bool {
        (self.process, self.stream) == (process, stream)
    }

    /// Whose it is.
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// What is read, until its end.
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(AsFd::as_fd)
    }

    /// Whether there is room for more; the host may have to catch up.
    pub fn has_room(&self) -> bool {
        self.sender.room() > 0
    }

    /// Reads once. At the end, gives the source back: whoever waits for it is to stop that before it is closed.
    pub fn read(&mut self) -> Option<OwnedFd> {
        let source = self.source.as_ref()?;
        let room = self.sender.room();
        if room == 0 {
            return None;
        }
        let read = self.sender.fill(|kept| {
            // The capacity never exceeds the window: it only grows here.
            kept.reserve_exact(room.min(ROOM_LEN_MIN.max(kept.len())));
            read(source, spare_capacity(kept))
        });
        match read {
            Ok(0) => {}
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return None,
            // A terminal's last user closed it (EIO): no more will come.
            Err(_) => {}
        }
        self.sender.end();
        self.source.take()
    }

    /// What is to be sent next.
    pub fn next(&self) -> Option<Piece<'_>> {
        let (offset, content) = self.sender.next()?;
        Some(Piece {
            process: self.process,
            stream: self.stream,
            offset,
            content,
        })
    }

    /// A piece with so much content was sent.
    pub fn was_sent(&mut self, len: usize) {
        self.sender.was_sent(len);
    }

    /// The host has this much.
    ///
    /// # Errors
    /// [`WindowError`]
    pub fn acknowledge(&mut self, offset: u64) -> Result<(), WindowError> {
        self.sender.acknowledge(offset)
    }

    /// A new host goes on from here. One that says it has what cannot be goes on from the first byte that is kept.
    ///
    /// # Errors
    /// [`WindowError`], which is worth a note.
    pub fn resume(&mut self, offset: u64) -> Result<(), WindowError> {
        let resumed = self.sender.resume(offset);
        if resumed.is_err() {
            self.sender.rewind();
        }
        resumed
    }

    /// Whether the host has everything.
    pub fn is_done(&self) -> bool {
        self.sender.is_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::guest::WINDOW_LEN;
    use rustix::io::{ioctl_fionbio, write};
    use rustix::pipe::pipe;

    fn outlet() -> (Outlet, OwnedFd) {
        let (source, sink) = pipe().unwrap();
        ioctl_fionbio(&source, true).unwrap();
        (Outlet::new(7, Stream::Stdout, source), sink)
    }

    /// Sends everything that may be sent.
    fn sent(outlet: &mut Outlet) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some(piece) = outlet.next() {
            let len = piece.content.len();
            sent.extend_from_slice(piece.content);
            outlet.was_sent(len);
        }
        sent
    }

    #[test]
    fn what_is_written_is_kept_until_it_is_acknowledged() {
        let (mut outlet, sink) = outlet();
        write(&sink, b"hello").unwrap();
        assert!(outlet.read().is_none());
        assert_eq!(sent(&mut outlet), b"hello");
        outlet.acknowledge(2).unwrap();
        outlet.resume(3).unwrap();
        assert_eq!(sent(&mut outlet), b"lo");
        drop(sink);
        assert!(outlet.read().is_some());
        assert!(outlet.source().is_none());
        assert!(sent(&mut outlet).is_empty());
        outlet.acknowledge(6).unwrap();
        assert!(outlet.is_done());
    }

    #[test]
    fn a_host_that_does_not_store_stops_the_process_and_no_byte_is_lost() {
        let (mut outlet, sink) = outlet();
        ioctl_fionbio(&sink, true).unwrap();
        let (mut written, mut read) = (0, Vec::new());
        for _ in 0..64 {
            written += write(&sink, &[7; 8192]).unwrap_or(0);
            outlet.read();
            read.extend(sent(&mut outlet));
        }
        assert_eq!(u64::try_from(read.len()).unwrap(), WINDOW_LEN);
        assert!(!outlet.has_room() && written > read.len());
        outlet.acknowledge(WINDOW_LEN).unwrap();
        while read.len() < written {
            assert!(outlet.has_room());
            outlet.read();
            read.extend(sent(&mut outlet));
            outlet.acknowledge(u64::try_from(read.len()).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_host_that_went_back_gets_what_is_kept() {
        let (mut outlet, sink) = outlet();
        write(&sink, b"hello").unwrap();
        outlet.read();
        sent(&mut outlet);
        outlet.acknowledge(4).unwrap();
        assert!(outlet.resume(0).is_err());
        assert_eq!(sent(&mut outlet), b"o");
    }
}
