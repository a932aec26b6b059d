//! The control connection to the host: messages out of and into a socket, without ever waiting once the task runs.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use protocol::frame::{self, FrameError};
use protocol::guest::{CONTROL_PORT, Start, ToGuest, ToHost, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::frames::Frames;
use crate::sys::vsock;

/// Bytes taken off the socket at once.
const READ_LEN: usize = 16 * 1024;

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

/// What a reading brought.
#[derive(Debug)]
pub struct Received {
    /// The messages that are complete now.
    pub messages: Vec<ToGuest>,
    /// Whether the host closed the connection behind them.
    pub ended: bool,
}

/// The connection.
#[derive(Debug)]
pub struct Control {
    socket: File,
    incoming: Frames<ToGuest>,
    /// Encoded and not yet taken by the socket. A task says a handful of things, so this needs no limit.
    outgoing: Vec<u8>,
}

impl Control {
    /// Connects and says hello.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn connect() -> Result<Self, ControlError> {
        let mut socket = File::from(vsock::connect(CONTROL_PORT).map_err(ControlError::Connect)?);
        frame::write(&mut socket, &ToHost::Hello { version: VERSION })?;
        Ok(Self {
            socket,
            incoming: Frames::default(),
            outgoing: Vec::new(),
        })
    }

    /// Waits for the bootstrap message; from then on the socket never blocks.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn read_start(&mut self) -> Result<Start, ControlError> {
        let Some(ToGuest::Start(start)) = frame::read(&mut self.socket)? else {
            return Err(ControlError::NoStart);
        };
        rustix::io::ioctl_fionbio(&self.socket, true).map_err(|error| ControlError::Broken(error.into()))?;
        Ok(*start)
    }

    /// Sends `message`, or keeps it until the socket takes it.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn send(&mut self, message: &ToHost) -> Result<(), ControlError> {
        self.outgoing.extend(frame::encode(message)?);
        self.flush()
    }

    /// Sends as much of what was kept as the socket takes.
    ///
    /// # Errors
    /// [`ControlError::Broken`].
    pub fn flush(&mut self) -> Result<(), ControlError> {
        while !self.outgoing.is_empty() {
            match self.socket.write(&self.outgoing) {
                Ok(len) => drop(self.outgoing.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Reading tells the end in its turn.
                Err(error) if is_end(&error) => self.outgoing.clear(),
                Err(error) => return Err(ControlError::Broken(error)),
            }
        }
        Ok(())
    }

    /// Whether something waits for the socket to take it.
    pub fn wants_to_send(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Takes what the host has sent.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn receive(&mut self) -> Result<Received, ControlError> {
        let mut bytes = [0; READ_LEN];
        match self.socket.read(&mut bytes) {
            Ok(len) => Ok(Received {
                messages: self.incoming.push(&bytes[..len])?,
                ended: len == 0,
            }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_end(&error) => Ok(Received {
                messages: Vec::new(),
                ended: is_end(&error),
            }),
            Err(error) => Err(ControlError::Broken(error)),
        }
    }

    /// Says why the task has failed and waits for the host to have taken note: it answers, or it closes the connection.
    ///
    /// # Errors
    /// The socket's; the host will then learn from the end of the microVM only.
    pub fn fail(mut self, message: String) -> io::Result<()> {
        let failed = frame::encode(&ToHost::Failed { message }).map_err(io::Error::other)?;
        self.outgoing.extend(failed);
        rustix::io::ioctl_fionbio(&self.socket, false)?;
        self.socket.write_all(&self.outgoing)?;
        let mut answer = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: FAREWELL_SECONDS,
            tv_nsec: 0,
        };
        match poll(&mut answer, Some(&patience)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an error says only that the host is gone, politely or not.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
