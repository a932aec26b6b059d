//! The streams of a container: one vsock connection each, and the pipes or the terminal that its process gets.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use protocol::frame;
use protocol::guest::{STREAM_PORT, Stream, StreamHello, TerminalSize};
use rustix::fs::{Mode, OFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::mounts;
use crate::failure::{Attempt, StepError};
use crate::sys::vsock;

/// The ends that stay with the guest agent.
#[derive(Debug, Default)]
pub struct Carried {
    /// What is to be relayed: source, sink.
    pub directions: Vec<(OwnedFd, OwnedFd)>,
    /// The terminal's master, kept for changes of its window.
    pub terminal: Option<OwnedFd>,
}

/// The ends that the container's process gets.
#[derive(Debug)]
pub struct Given {
    /// The file system of its pseudoterminals, to be mounted.
    pub terminals: OwnedFd,
    /// Its standard streams.
    pub standard: Standard,
}

/// Standard input, output and error.
#[derive(Debug)]
pub enum Standard {
    /// All three are the terminal at this path.
    Terminal(PathBuf),
    /// A pipe each; without standard input, it is `/dev/null`.
    Pipes {
        /// The end to read from.
        stdin: Option<OwnedFd>,
        /// The end to write to.
        stdout: OwnedFd,
        /// The end to write to.
        stderr: OwnedFd,
    },
}

/// Connects the streams of the container `name` with the host.
///
/// # Errors
/// The first step that failed.
pub fn connect(name: &str, stdin: bool, terminal: Option<TerminalSize>) -> Result<(Carried, Given), StepError> {
    let terminals = mounts::terminals().attempting(|| "make pseudoterminals")?;
    let mut carried = Carried::default();
    let standard = match terminal {
        Some(size) => {
            let (master, path) = open_terminal(&terminals, size).attempting(|| "open a terminal")?;
            let host = connect_stream(name, Stream::Terminal)?;
            if stdin {
                carried.directions.push((duplicate(&host)?, duplicate(&master)?));
            }
            carried.directions.push((duplicate(&master)?, host));
            carried.terminal = Some(master);
            Standard::Terminal(path)
        }
        None => {
            let mut output = |stream| -> Result<OwnedFd, StepError> {
                let (reader, writer) = new_pipe()?;
                carried.directions.push((reader, connect_stream(name, stream)?));
                Ok(writer)
            };
            let (stdout, stderr) = (output(Stream::Stdout)?, output(Stream::Stderr)?);
            let stdin = if stdin {
                let (reader, writer) = new_pipe()?;
                carried.directions.push((connect_stream(name, Stream::Stdin)?, writer));
                Some(reader)
            } else {
                None
            };
            Standard::Pipes { stdin, stdout, stderr }
        }
    };
    Ok((carried, Given { terminals, standard }))
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
pub fn new_pipe() -> Result<(OwnedFd, OwnedFd), StepError> {
    pipe_with(PipeFlags::CLOEXEC).attempting(|| "make a pipe")
}

/// A connection to the host that says whose stream it is and then carries that stream.
fn connect_stream(name: &str, stream: Stream) -> Result<OwnedFd, StepError> {
    let connected = || -> io::Result<OwnedFd> {
        let mut connection = File::from(vsock::connect(STREAM_PORT)?);
        let hello = StreamHello {
            container: name.to_owned(),
            stream,
        };
        frame::write(&mut connection, &hello).map_err(io::Error::other)?;
        Ok(connection.into())
    };
    connected().attempting(|| format!("connect the stream {stream:?} to the host"))
}

/// A new terminal: its master and the path of its other end once the file system is mounted.
fn open_terminal(terminals: &OwnedFd, size: TerminalSize) -> io::Result<(OwnedFd, PathBuf)> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openat(terminals, "ptmx", flags, Mode::empty())?;
    unlockpt(&master)?;
    resize(&master, size)?;
    let path = ptsname(&master, Vec::new())?.into_string().map_err(io::Error::other)?;
    Ok((master, path.into()))
}

/// A second descriptor of the same thing, for a relay of its own.
fn duplicate(descriptor: &OwnedFd) -> Result<OwnedFd, StepError> {
    descriptor.try_clone().attempting(|| "duplicate a descriptor")
}
