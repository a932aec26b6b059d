//! One direction of one stream: bytes from a source to a sink, neither of which is ever waited for.
//!
//! A relay waits for exactly one of its two ends at a time, so the sink's pace is the source's pace, and one that stands still holds
//! up no other.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read, write};
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
    /// What was read. Its memory is not touched before something is.
    buffer: Vec<u8>,
    /// How much of that was written.
    written: usize,
}

impl Relay {
    /// Connects two descriptors, neither of which may block. One that another relay also uses must be a duplicate.
    pub fn new(source: OwnedFd, sink: OwnedFd) -> Self {
        Self {
            source,
            sink,
            buffer: Vec::with_capacity(BUFFER_LEN),
            written: 0,
        }
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
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
            match read(&self.source, spare_capacity(&mut self.buffer)) {
                Ok(0) => return self.end(),
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Needs::Source,
                // A terminal's last user closed it (EIO), or the connection broke: no more will come.
                Err(_) => return self.end(),
            }
        }
        match write(&self.sink, &self.buffer[self.written..]) {
            Ok(len) => self.written += len,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.end(),
        }
        if self.written == self.buffer.len() {
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
    use rustix::io::ioctl_fionbio;
    use rustix::pipe::pipe;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// A relay between two descriptors that do not block.
    fn connect(source: OwnedFd, sink: impl Into<OwnedFd>) -> Relay {
        let sink = sink.into();
        ioctl_fionbio(&source, true).unwrap();
        ioctl_fionbio(&sink, true).unwrap();
        Relay::new(source, sink)
    }

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
            let relay = connect(source, sink);
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
        let mut relay = connect(source, sink);
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
        let mut relay = connect(source, sink);
        drop(writer);
        assert_eq!(relay.step(), Needs::Nothing);
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
    }
}
