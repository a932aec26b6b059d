//! The streams of a process: the pipes or the terminal that it gets, and the guest agent's ends of them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::guest::{Stream, TerminalSize};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::stage;
use crate::carriers::Carriers;
use crate::failure::{Attempt, StepError};
use crate::poller::Poller;

/// What is ready for a process before it is known what streams it is to have.
#[derive(Debug)]
pub struct Streams {
    terminals: OwnedFd,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The ends that the process gets.
#[derive(Debug)]
pub struct Ends {
    /// The file system of its pseudoterminals, to be mounted.
    pub terminals: OwnedFd,
    /// The end to read from.
    pub stdin: OwnedFd,
    /// The end to write to.
    pub stdout: OwnedFd,
    /// The end to write to.
    pub stderr: OwnedFd,
}

/// The guest agent's ends of a process's streams.
#[derive(Debug, Default)]
pub struct Connections {
    /// What is to be carried to the host.
    outputs: Vec<(Stream, OwnedFd)>,
    /// Where input is to be carried to.
    input: Option<OwnedFd>,
    /// The terminal's master, for changes of its window.
    pub terminal: Option<OwnedFd>,
    /// The path of the terminal's other end, as the process sees it.
    pub terminal_path: Option<String>,
}

impl Streams {
    /// Makes what every process may need.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn prepare() -> Result<(Self, Ends), StepError> {
        let terminals = stage::terminals().attempting(|| "make pseudoterminals")?;
        let (stdin_there, stdin) = pipe()?;
        let (stdout, stdout_there) = pipe()?;
        let (stderr, stderr_there) = pipe()?;
        for end in [&stdin, &stdout, &stderr] {
            ioctl_fionbio(end, true).attempting(|| "make a pipe not block")?;
        }
        let ends = Ends {
            terminals: terminals.try_clone().attempting(|| "duplicate a descriptor")?,
            stdin: stdin_there,
            stdout: stdout_there,
            stderr: stderr_there,
        };
        let streams = Self {
            terminals,
            stdin,
            stdout,
            stderr,
        };
        Ok((streams, ends))
    }

    /// Keeps what a container needs, and the file system of its pseudoterminals.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn connect(self, stdin: bool, terminal: Option<TerminalSize>) -> Result<(Connections, OwnedFd), StepError> {
        let connections = match terminal {
            Some(size) => Connections::of_terminal(&self.terminals, stdin, size)?,
            None => Connections::of_pipes(self.stdout, self.stderr, stdin.then_some(self.stdin)),
        };
        Ok((connections, self.terminals))
    }
}

impl Connections {
    /// Those of a process with pipes, which do not block.
    pub fn of_pipes(stdout: OwnedFd, stderr: OwnedFd, stdin: Option<OwnedFd>) -> Self {
        Self {
            outputs: vec![(Stream::Stdout, stdout), (Stream::Stderr, stderr)],
            input: stdin,
            terminal: None,
            terminal_path: None,
        }
    }

    /// Those of a process with a new one of `terminals`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn of_terminal(terminals: &OwnedFd, stdin: bool, size: TerminalSize) -> Result<Self, StepError> {
        let (master, path) = open_terminal(terminals, size).attempting(|| "open a terminal")?;
        Ok(Self {
            terminal_path: Some(path),
            terminal: Some(duplicate(&master)?),
            // A descriptor of its own, since the two are waited for apart.
            input: if stdin { Some(duplicate(&master)?) } else { None },
            outputs: vec![(Stream::Stdout, master)],
        })
    }

    /// Begins to take input for `process`, which does not get it yet.
    pub fn take_input(&mut self, carriers: &mut Carriers, process: u32) {
        if let Some(sink) = self.input.take() {
            carriers.carry_in(process, sink, self.terminal.is_some());
        }
    }

    /// Begins to carry the output of `process`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn carry(&mut self, carriers: &mut Carriers, poller: &Poller, process: u32) -> io::Result<()> {
        let mut outputs = self.outputs.drain(..);
        outputs.try_for_each(|(stream, source)| carriers.carry_out(poller, process, stream, source))
    }
}

/// Tells a terminal the size of its window.
///
/// # Errors
/// The kernel's.
pub fn resize(terminal: impl AsFd, size: TerminalSize) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// A pipe whose ends the container's program will not see under their first numbers.
///
/// # Errors
/// The kernel's.
pub fn pipe() -> Result<(OwnedFd, OwnedFd), StepError> {
    pipe_with(PipeFlags::CLOEXEC).attempting(|| "make a pipe")
}

/// A new terminal, whose master does not block: the master, and the path of its other end.
fn open_terminal(terminals: &OwnedFd, size: TerminalSize) -> io::Result<(OwnedFd, String)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let master = openat(terminals, "ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    resize(&master, size)?;
    let path = ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?;
    Ok((master, path))
}

/// A second descriptor of the same thing, for a relay of its own.
fn duplicate(descriptor: &OwnedFd) -> Result<OwnedFd, StepError> {
    descriptor.try_clone().attempting(|| "duplicate a descriptor")
}
