//! One direction of one stream: bytes from a source to a sink, neither of which is ever waited for.
//!
//! A relay waits for exactly one of its two ends at a time, so the sink's pace is the source's pace, and one that stands still holds
//! up no other.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::net::{Shutdown, shutdown};

/// Bytes moved at once: what a pipe holds.
const BUFFER_LEN: usize = 64 * 1024;

/// What a relay needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The source to become readable.
    Source,
    /// The sink to become writable.
    Sink,
    /// Nothing: the source has ended, or the sink takes no more. The relay can be dropped.
    Nothing,
}

/// The two ends and what is on its way.
#[derive(Debug)]
pub struct Relay {
    source: OwnedFd,
    sink: OwnedFd,
    buffer: Box<[u8]>,
    /// The part of the buffer that was read and not yet written.
    filled: Range<usize>,
}

impl Relay {
    /// Connects two descriptors, which from now on do not block. One that another relay also uses must be a duplicate.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(source: OwnedFd, sink: OwnedFd) -> std::io::Result<Self> {
        ioctl_fionbio(&source, true)?;
        ioctl_fionbio(&sink, true)?;
        Ok(Self {
            source,
            sink,
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            filled: 0..0,
        })
    }

    /// The end that is read.
    pub fn source(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    /// The end that is written.
    pub fn sink(&self) -> BorrowedFd<'_> {
        self.sink.as_fd()
    }

    /// Moves one buffer at most, so that relays take turns.
    pub fn step(&mut self) -> Needs {
        if self.filled.is_empty() {
            match read(&self.source, &mut self.buffer[..]) {
                Ok(0) => return self.end(),
                Ok(len) => self.filled = 0..len,
                Err(Errno::AGAIN | Errno::INTR) => return Needs::Source,
                // A terminal's last user closed it (EIO), or the connection broke: no more will come.
                Err(_) => return self.end(),
            }
        }
        match write(&self.sink, &self.buffer[self.filled.clone()]) {
            Ok(len) => self.filled.start += len,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.end(),
        }
        if self.filled.is_empty() {
            Needs::Source
        } else {
            Needs::Sink
        }
    }

    /// Tells both neighbours that this direction is over, also where a duplicate keeps the descriptor itself open.
    fn end(&self) -> Needs {
        // Pipes and terminals are no sockets and refuse: for them, closing says it.
        let _ = shutdown(&self.sink, Shutdown::Write);
        let _ = shutdown(&self.source, Shutdown::Read);
        Needs::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::pipe::pipe;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// Runs a relay as the event loop does, until it needs nothing.
    fn run(mut relay: Relay) {
        let mut needs = Needs::Source;
        loop {
            let (end, flags) = match needs {
                Needs::Source => (relay.source(), PollFlags::IN),
                Needs::Sink => (relay.sink(), PollFlags::OUT),
                Needs::Nothing => return,
            };
            poll(&mut [PollFd::from_borrowed_fd(end, flags)], None).unwrap();
            needs = relay.step();
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn everything_arrives_in_order(pieces in prop::collection::vec(1..200_000_usize, 0..8), seed in any::<u8>()) {
            let (source, mut writer) = pipe().map(|(r, w)| (r, File::from(w))).unwrap();
            let (sink, mut reader) = UnixStream::pair().unwrap();
            let relay = Relay::new(source, sink.into()).unwrap();
            let bytes: Vec<u8> = (0..=250).cycle().map(|byte: u8| byte ^ seed).take(pieces.iter().sum()).collect();
            let expected = bytes.clone();
            let running = thread::spawn(move || run(relay));
            let writing = thread::spawn(move || {
                let mut rest = bytes.as_slice();
                for len in pieces {
                    writer.write_all(&rest[..len]).unwrap();
                    rest = &rest[len..];
                }
            });
            let mut received = Vec::new();
            reader.read_to_end(&mut received).unwrap();
            writing.join().unwrap();
            running.join().unwrap();
            prop_assert!(received == expected);
        }
    }

    #[test]
    fn a_sink_that_does_not_read_stops_the_source_and_nothing_else() {
        let (source, writer) = pipe().unwrap();
        let (sink, reader) = UnixStream::pair().unwrap();
        let mut relay = Relay::new(source, sink.into()).unwrap();
        let mut writer = File::from(writer);
        while relay.step() != Needs::Sink {
            writer.write_all(&[7; 4096]).unwrap();
        }
        assert_eq!(relay.step(), Needs::Sink);
        drop(reader);
        assert_eq!(relay.step(), Needs::Nothing);
    }

    #[test]
    fn the_end_of_the_source_reaches_the_sink_through_a_duplicate() {
        let (source, writer) = pipe().unwrap();
        let (sink, mut reader) = UnixStream::pair().unwrap();
        let _duplicate = sink.try_clone().unwrap();
        let mut relay = Relay::new(source, sink.into()).unwrap();
        drop(writer);
        assert_eq!(relay.step(), Needs::Nothing);
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    }
}
