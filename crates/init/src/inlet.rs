//! The input stream of a process: what the host sends, until the process has taken it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::guest::{Received, Stream};
use protocol::window::{Receiver, WindowError};
use rustix::io::{Errno, write};

/// The stream.
#[derive(Debug)]
pub struct Inlet {
    process: u32,
    /// What the process reads from, from the other side, until the end.
    sink: Option<OwnedFd>,
    /// A terminal has no end: who wants one types it.
    is_terminal: bool,
    /// Whether the program runs. Before that, what comes waits: a terminal would take it as if nobody was there.
    is_open: bool,
    receiver: Receiver,
    /// What the process has not taken.
    waiting: Vec<u8>,
}

impl Inlet {
    /// Nothing was written yet to `sink`, which does not block, and nothing is before [`Self::open`].
    pub fn new(process: u32, sink: OwnedFd, is_terminal: bool) -> Self {
        Self {
            process,
            sink: Some(sink),
            is_terminal,
            is_open: false,
            receiver: Receiver::default(),
            waiting: Vec::new(),
        }
    }

    /// Whose it is.
    pub const fn process(&self) -> u32 {
        self.process
    }

    /// What is written to, until its end.
    pub fn sink(&self) -> Option<BorrowedFd<'_>> {
        self.sink.as_ref().map(AsFd::as_fd)
    }

    /// Whether there is something to write.
    pub const fn has_waiting(&self) -> bool {
        self.is_open && !self.waiting.is_empty()
    }

    /// The program runs.
    pub const fn open(&mut self) {
        self.is_open = true;
    }

    /// Takes a piece, to be written with [`Self::write`].
    ///
    /// # Errors
    /// [`WindowError`]
    pub fn accept(&mut self, offset: u64, content: &[u8]) -> Result<(), WindowError> {
        self.receiver.accept(offset, content.len())?;
        if self.sink.is_some() {
            self.waiting.extend_from_slice(content);
        }
        Ok(())
    }

    /// Writes what the process takes. Gives the sink back when nothing more is to be written to it: whoever waits for it is to stop that before
    /// it is closed.
    pub fn write(&mut self) -> Option<OwnedFd> {
        let sink = self.sink.as_ref().filter(|_| self.is_open)?;
        while !self.waiting.is_empty() {
            match write(sink, &self.waiting) {
                Ok(len) => drop(self.waiting.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                Err(_) => {
                    // The process reads no more: whatever comes counts as taken.
                    self.waiting = Vec::new();
                    return self.sink.take();
                }
            }
        }
        self.waiting = Vec::new();
        if self.receiver.has_ended() && !self.is_terminal {
            return self.sink.take();
        }
        None
    }

    /// How much the process has taken, where that is worth a message.
    pub fn acknowledgement(&mut self) -> Option<Received> {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        // The end is behind all that waits, and behind the begin of the program.
        let end = u64::from(self.receiver.has_ended() && (waiting > 0 || !self.is_open));
        let offset = self.receiver.received().saturating_sub(waiting + end);
        let worth = self.receiver.acknowledge(offset).unwrap_or(false);
        worth.then_some(self.told(offset))
    }

    /// Where a new host goes on: what waits is not sent again. None where the input has ended.
    pub fn resume(&mut self) -> Option<Received> {
        if self.receiver.has_ended() {
            return None;
        }
        let offset = self.receiver.received();
        self.receiver = Receiver::at(offset);
        Some(self.told(offset))
    }

    const fn told(&self, offset: u64) -> Received {
        Received {
            process: self.process,
            stream: Stream::Stdin,
            offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{ioctl_fionbio, read};
    use rustix::pipe::pipe;

    fn inlet() -> (Inlet, OwnedFd) {
        let (source, sink) = pipe().unwrap();
        ioctl_fionbio(&sink, true).unwrap();
        ioctl_fionbio(&source, true).unwrap();
        let mut inlet = Inlet::new(7, sink, false);
        inlet.open();
        (inlet, source)
    }

    fn drain(source: &OwnedFd) -> usize {
        let mut bytes = vec![0; 1 << 20];
        let mut len = 0;
        while let Ok(more) = read(source, &mut bytes) {
            len += more;
            if more == 0 {
                break;
            }
        }
        len
    }

    #[test]
    fn input_is_acknowledged_when_the_process_has_taken_it() {
        let (mut inlet, source) = inlet();
        let piece = vec![1; 32 << 10];
        let mut sent = 0;
        let mut acknowledged = 0;
        let mut taken = 0;
        while sent < 1 << 20 {
            if sent - acknowledged <= 32 << 10 {
                inlet.accept(sent, &piece).unwrap();
                sent += 32 << 10;
            } else {
                taken += drain(&source);
            }
            inlet.write();
            if let Some(received) = inlet.acknowledgement() {
                acknowledged = received.offset;
            }
        }
        inlet.accept(sent, &[]).unwrap();
        let mut closed = inlet.write();
        while closed.is_none() {
            taken += drain(&source);
            closed = inlet.write();
        }
        assert_eq!(inlet.acknowledgement().unwrap().offset, sent + 1);
        drop(closed);
        taken += drain(&source);
        assert_eq!(u64::try_from(taken).unwrap(), sent);
        assert!(inlet.resume().is_none());
    }

    #[test]
    fn what_comes_before_the_program_waits_for_it() {
        let (inlet, source) = inlet();
        let mut inlet = Inlet {
            is_open: false,
            ..inlet
        };
        inlet.accept(0, b"abc").unwrap();
        inlet.accept(3, b"").unwrap();
        assert!(inlet.write().is_none() && inlet.acknowledgement().is_none());
        inlet.open();
        drop(inlet.write().unwrap());
        assert_eq!(inlet.acknowledgement().unwrap().offset, 4);
        assert_eq!(drain(&source), 3);
    }

    #[test]
    fn a_process_that_does_not_read_stops_nobody() {
        let (mut inlet, source) = inlet();
        drop(source);
        inlet.accept(0, &[0; 20 << 10]).unwrap();
        assert!(inlet.write().is_some());
        assert_eq!(inlet.acknowledgement().unwrap().offset, 20 << 10);
        inlet.accept(20 << 10, &[0; 20 << 10]).unwrap();
        assert_eq!(inlet.acknowledgement().unwrap().offset, 40 << 10);
    }

    #[test]
    fn a_new_host_goes_on_behind_what_arrived() {
        let (mut inlet, _source) = inlet();
        inlet.accept(0, b"abc").unwrap();
        assert_eq!(inlet.resume().unwrap().offset, 3);
        assert!(inlet.accept(2, b"x").is_err());
        inlet.accept(3, b"d").unwrap();
        assert_eq!(inlet.waiting, b"abcd");
    }
}
