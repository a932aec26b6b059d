//! The streams of all processes, each waited for only when there is something to do.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use protocol::frame::Piece;
use protocol::guest::{Received, Stream, ToHost};
use protocol::window::WindowError;
use rustix::event::epoll::EventFlags;

use crate::control::{Control, ControlError};
use crate::inlet::Inlet;
use crate::kernel_log;
use crate::outlet::Outlet;
use crate::poller::{Poller, Token};

/// The streams, by the index that their tokens carry.
#[derive(Debug, Default)]
pub struct Carriers {
    outlets: Vec<Option<Watched<Outlet>>>,
    inlets: Vec<Option<Watched<Inlet>>>,
    /// Whose turn it is to send.
    turn: usize,
}

/// A stream, and whether the poller waits for it.
#[derive(Debug)]
struct Watched<T> {
    stream: T,
    is_watched: bool,
}

/// The end of a stream that is here.
trait End {
    /// What it waits for.
    const FLAGS: EventFlags;

    /// By what name.
    fn token(index: u32) -> Token;

    /// Its descriptor, until it is given back.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;

    /// Whether there is anything to do when it is ready.
    fn wants(&self) -> bool;

    /// Does it; gives the descriptor back where that was the last time.
    fn step(&mut self) -> Option<OwnedFd>;
}

impl End for Outlet {
    const FLAGS: EventFlags = EventFlags::IN;

    fn token(index: u32) -> Token {
        Token::Output(index)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.source()
    }

    fn wants(&self) -> bool {
        self.has_room()
    }

    fn step(&mut self) -> Option<OwnedFd> {
        self.read()
    }
}

impl End for Inlet {
    const FLAGS: EventFlags = EventFlags::OUT;

    fn token(index: u32) -> Token {
        Token::Input(index)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.sink()
    }

    fn wants(&self) -> bool {
        self.has_waiting()
    }

    fn step(&mut self) -> Option<OwnedFd> {
        self.write()
    }
}

impl<T: End> Watched<T> {
    const fn new(stream: T) -> Self {
        Self {
            stream,
            is_watched: false,
        }
    }

    /// Waits for the descriptor while there is something to do: otherwise it would report over and over what nobody can do anything about.
    fn watch(&mut self, poller: &Poller, index: usize) -> io::Result<()> {
        let Some(descriptor) = self.stream.descriptor() else {
            return Ok(());
        };
        match (self.stream.wants(), self.is_watched) {
            (true, false) => {
                let index = u32::try_from(index).map_err(io::Error::other)?;
                poller.add(descriptor, T::token(index), T::FLAGS)?;
            }
            (false, true) => poller.remove(descriptor)?,
            _ => return Ok(()),
        }
        self.is_watched = !self.is_watched;
        Ok(())
    }

    fn step(&mut self, poller: &Poller, index: usize) -> io::Result<()> {
        match self.stream.step() {
            // Before it is closed: another process may have a duplicate, which would keep it waited for.
            Some(ended) if std::mem::take(&mut self.is_watched) => poller.remove(&ended),
            Some(_) => Ok(()),
            None => self.watch(poller, index),
        }
    }

    fn forget(&mut self, poller: &Poller) -> io::Result<()> {
        match self.stream.descriptor() {
            Some(descriptor) if std::mem::take(&mut self.is_watched) => poller.remove(descriptor),
            _ => Ok(()),
        }
    }
}

impl Carriers {
    /// Begins to carry what comes from `source`, which does not block.
    ///
    /// # Errors
    /// The kernel's.
    pub fn carry_out(&mut self, poller: &Poller, process: u32, stream: Stream, source: OwnedFd) -> io::Result<()> {
        let mut outlet = Watched::new(Outlet::new(process, stream, source));
        let index = free(&mut self.outlets);
        outlet.watch(poller, index)?;
        self.outlets[index] = Some(outlet);
        Ok(())
    }

    /// Takes what the host sends for `sink`, which does not block; nothing is written to it before [`Self::open_input`].
    pub fn carry_in(&mut self, process: u32, sink: OwnedFd, is_terminal: bool) {
        let index = free(&mut self.inlets);
        self.inlets[index] = Some(Watched::new(Inlet::new(process, sink, is_terminal)));
    }

    /// Writes what came for a process whose program runs now, and tells what it has taken.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_input(&mut self, poller: &Poller, process: u32) -> io::Result<Option<Received>> {
        let Some((index, inlet)) = self.input_of(process) else {
            return Ok(None);
        };
        inlet.stream.open();
        inlet.step(poller, index)?;
        Ok(inlet.stream.acknowledgement())
    }

    fn input_of(&mut self, process: u32) -> Option<(usize, &mut Watched<Inlet>)> {
        let mut inlets = self.inlets.iter_mut().enumerate();
        inlets.find_map(|(index, inlet)| {
            let inlet = inlet.as_mut()?;
            (inlet.stream.process() == process).then_some((index, inlet))
        })
    }

    /// Reads the output with this index.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&mut self, poller: &Poller, index: u32) -> io::Result<()> {
        let index = index as usize;
        match self.outlets.get_mut(index) {
            Some(Some(outlet)) => outlet.step(poller, index),
            _ => Ok(()),
        }
    }

    /// Writes the input with this index, and tells what the process has taken.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&mut self, poller: &Poller, index: u32) -> io::Result<Option<Received>> {
        let index = index as usize;
        let Some(Some(inlet)) = self.inlets.get_mut(index) else {
            return Ok(None);
        };
        inlet.step(poller, index)?;
        Ok(inlet.stream.acknowledgement())
    }

    /// Takes a piece of input, and tells what the process has taken. Of a process that has ended, nothing is taken.
    ///
    /// # Errors
    /// The kernel's, or a piece that is out of order.
    pub fn accept(&mut self, poller: &Poller, piece: &Piece<'_>) -> io::Result<Option<Received>> {
        let Some((index, inlet)) = self.input_of(piece.process) else {
            return Ok(None);
        };
        let accepted = inlet.stream.accept(piece.offset, piece.content);
        accepted.map_err(io::Error::other)?;
        inlet.step(poller, index)?;
        Ok(inlet.stream.acknowledgement())
    }

    /// The host has this much of an output.
    ///
    /// # Errors
    /// The kernel's, or an acknowledgement of what was not sent.
    pub fn acknowledge(&mut self, poller: &Poller, received: Received) -> io::Result<()> {
        let Received {
            process,
            stream,
            offset,
        } = received;
        for (index, slot) in self.outlets.iter_mut().enumerate() {
            let Some(outlet) = slot else { continue };
            if !outlet.stream.is(process, stream) {
                continue;
            }
            outlet.stream.acknowledge(offset).map_err(io::Error::other)?;
            if outlet.stream.is_done() {
                *slot = None;
            } else {
                outlet.watch(poller, index)?;
            }
            break;
        }
        Ok(())
    }

    /// Sends what is there, stream by stream, as long as the socket takes it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn pump(&mut self, control: &mut Control) -> Result<(), ControlError> {
        let count = self.outlets.len();
        let mut quiet = 0;
        while quiet < count && !control.wants_to_send() {
            self.turn = (self.turn + 1) % count;
            let piece = match &self.outlets[self.turn] {
                Some(outlet) => outlet.stream.next(),
                None => None,
            };
            let Some(piece) = piece else {
                quiet += 1;
                continue;
            };
            quiet = 0;
            control.send_piece(&piece)?;
            let len = piece.content.len();
            if let Some(outlet) = &mut self.outlets[self.turn] {
                outlet.stream.was_sent(len);
            }
        }
        Ok(())
    }

    /// A new host goes on with what it has received of the outputs; gives what it is to know of the inputs.
    ///
    /// # Errors
    /// The kernel's.
    pub fn resume(&mut self, poller: &Poller, received: &[Received]) -> io::Result<Vec<ToHost>> {
        for (index, slot) in self.outlets.iter_mut().enumerate() {
            let Some(outlet) = slot else { continue };
            let of_this = received
                .iter()
                .find(|received| outlet.stream.is(received.process, received.stream));
            let offset = of_this.map_or(0, |received| received.offset);
            if let Err(error) = outlet.stream.resume(offset) {
                warn_of(outlet.stream.process(), error);
            }
            if outlet.stream.is_done() {
                *slot = None;
            } else {
                outlet.watch(poller, index)?;
            }
        }
        let inlets = self.inlets.iter_mut().flatten();
        Ok(inlets
            .filter_map(|inlet| inlet.stream.resume().map(ToHost::Acknowledge))
            .collect())
    }

    /// Takes no more input for a process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn close_input(&mut self, poller: &Poller, process: u32) -> io::Result<()> {
        for slot in &mut self.inlets {
            if let Some(mut inlet) = slot.take_if(|inlet| inlet.stream.process() == process) {
                inlet.forget(poller)?;
            }
        }
        Ok(())
    }

    /// Drops all streams of a process that nobody asks for any more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn abandon(&mut self, poller: &Poller, process: u32) -> io::Result<()> {
        self.close_input(poller, process)?;
        for slot in &mut self.outlets {
            if let Some(mut outlet) = slot.take_if(|outlet| outlet.stream.process() == process) {
                outlet.forget(poller)?;
            }
        }
        Ok(())
    }
}

/// Tells the kernel's log of a host that goes on where it cannot.
fn warn_of(process: u32, error: WindowError) {
    kernel_log::warn(&format!("a stream of process {process} cannot be resumed: {error}"));
}

/// The index of a slot without a stream.
fn free<T>(slots: &mut Vec<Option<T>>) -> usize {
    slots.iter().position(Option::is_none).unwrap_or_else(|| {
        slots.push(None);
        slots.len() - 1
    })
}
