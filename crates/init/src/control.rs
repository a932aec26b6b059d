//! The session with the host: messages and pieces out of and into a socket, without ever waiting once the task runs.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use protocol::frame::{self, FrameError, Piece};
use protocol::guest::{CONTROL_PORT, Start, ToGuest, ToHost, VERSION};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write, writev};
use rustix::net::{Shutdown, shutdown};

use crate::frames::{Frame, Frames};
use crate::sys::vsock;

/// How long a host may take to read the last message before the microVM ends without it.
const FAREWELL_SECONDS: i64 = 5;

/// Why there is nothing more to be had from the host.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No connection came about.
    #[error("cannot connect to the host")]
    Connect(#[source] io::Error),
    /// The connection broke.
    #[error("the connection to the host failed")]
    Broken(#[source] io::Error),
    /// The host sent what is not a message.
    #[error("the host sent an unusable message")]
    Frame(#[from] FrameError),
    /// The host sent something before the bootstrap message, or nothing at all.
    #[error("the host did not send the bootstrap message")]
    NoStart,
}

/// The connection of a session.
#[derive(Debug)]
pub struct Control {
    socket: OwnedFd,
    incoming: Frames<ToGuest>,
    /// Encoded and not yet taken by the socket: messages, of which a task says a handful, and the rest of one piece.
    outgoing: Vec<u8>,
}

impl Control {
    /// Makes the socket, which is connected to nobody yet and never blocks.
    ///
    /// # Errors
    /// [`ControlError::Connect`].
    pub fn prepare() -> Result<Self, ControlError> {
        Ok(Self {
            socket: vsock::socket().map_err(ControlError::Connect)?,
            incoming: Frames::default(),
            outgoing: Vec::new(),
        })
    }

    /// Where what the host sends is collected.
    pub const fn incoming(&mut self) -> &mut Frames<ToGuest> {
        &mut self.incoming
    }

    /// Asks the host for a connection.
    ///
    /// # Errors
    /// [`ControlError::Connect`].
    pub fn begin(&self) -> Result<(), ControlError> {
        vsock::begin(&self.socket, CONTROL_PORT).map_err(ControlError::Connect)
    }

    /// Says hello when the host has accepted the connection.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn say_hello(&mut self) -> Result<(), ControlError> {
        vsock::finish(&self.socket).map_err(ControlError::Connect)?;
        self.send(&ToHost::Hello { version: VERSION })
    }

    /// Goes on over `socket`, a host's connection that does not block, and says hello. What was not sent to the host before is forgotten.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn take_over(&mut self, socket: OwnedFd) -> Result<(), ControlError> {
        self.socket = socket;
        self.incoming.clear();
        self.outgoing.clear();
        self.send(&ToHost::Hello { version: VERSION })
    }

    /// Lets go of the host: it hears that nobody listens any more, and so does whoever sends still.
    pub fn hang_up(&self) {
        // A host that is gone cannot be told.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Waits for the bootstrap message.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn wait_for_start(&mut self) -> Result<Start, ControlError> {
        loop {
            // The host may well have answered already.
            let ended = self.receive()?;
            match self.incoming.take()? {
                Some(ToGuest::Start(start)) => return Ok(*start),
                Some(_) => return Err(ControlError::NoStart),
                None if ended => return Err(ControlError::NoStart),
                None => self.wait(None).map_err(ControlError::Broken)?,
            }
        }
    }

    /// Sends `message`, or keeps it until the socket takes it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn send(&mut self, message: &ToHost) -> Result<(), ControlError> {
        self.outgoing.extend(frame::encode(message)?);
        self.flush()
    }

    /// Sends a piece, whatever the socket takes of it; only while [`Self::wants_to_send`] is not so.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn send_piece(&mut self, piece: &Piece<'_>) -> Result<(), ControlError> {
        let header = frame::piece_header(piece)?;
        let parts = [IoSlice::new(&header), IoSlice::new(piece.content)];
        let sent = match writev(&self.socket, &parts) {
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            // Reading tells the end in its turn.
            Err(error) if is_end(error) => return Ok(()),
            Err(error) => return Err(ControlError::Broken(error.into())),
        };
        self.outgoing.extend_from_slice(header.get(sent..).unwrap_or_default());
        let sent = sent.saturating_sub(header.len());
        self.outgoing.extend_from_slice(&piece.content[sent..]);
        Ok(())
    }

    /// Sends as much of what was kept as the socket takes.
    ///
    /// # Errors
    /// [`ControlError::Broken`].
    pub fn flush(&mut self) -> Result<(), ControlError> {
        while !self.outgoing.is_empty() {
            match write(&self.socket, &self.outgoing) {
                Ok(len) => drop(self.outgoing.drain(..len)),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                // Reading tells the end in its turn.
                Err(error) if is_end(error) => self.outgoing.clear(),
                Err(error) => return Err(ControlError::Broken(error.into())),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take it.
    pub fn wants_to_send(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Takes what the host has sent, and tells whether it closed the connection behind it.
    ///
    /// # Errors
    /// [`ControlError::Broken`].
    pub fn receive(&mut self) -> Result<bool, ControlError> {
        match read(&self.socket, spare_capacity(self.incoming.room())) {
            Ok(len) => Ok(len == 0),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) if is_end(error) => Ok(true),
            Err(error) => Err(ControlError::Broken(error.into())),
        }
    }

    /// The next of the frames that were received.
    ///
    /// # Errors
    /// [`ControlError::Frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_, ToGuest>>, ControlError> {
        Ok(self.incoming.take_frame()?)
    }

    /// Says why the task has failed and waits for the host to have taken note: it answers, or it closes the connection.
    ///
    /// # Errors
    /// The socket's; the host will then learn from the end of the microVM only.
    pub fn fail(&mut self, message: String) -> io::Result<()> {
        let failed = frame::encode(&ToHost::Failed { message }).map_err(io::Error::other)?;
        self.outgoing.extend(failed);
        rustix::io::ioctl_fionbio(&self.socket, false)?;
        File::from(self.socket.try_clone()?).write_all(&self.outgoing)?;
        self.wait(Some(&Timespec {
            tv_sec: FAREWELL_SECONDS,
            tv_nsec: 0,
        }))
    }

    /// Waits until the host says something, or for as long as `patience` lasts.
    fn wait(&self, patience: Option<&Timespec>) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], patience) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an error says only that the host is gone, politely or not.
fn is_end(error: Errno) -> bool {
    matches!(error, Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN)
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
