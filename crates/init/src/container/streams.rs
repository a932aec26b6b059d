//! The streams of a container: one vsock connection each, and the pipes or the terminal that its process gets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::frame;
use protocol::guest::{STREAM_PORT, Stream, StreamHello, TerminalSize};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, ioctl_fionbio, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::stage;
use crate::failure::{Attempt, StepError};
use crate::sys::vsock;

/// What is ready for a process before it is known what streams it is to have.
#[derive(Debug)]
pub struct Streams {
    terminals: OwnedFd,
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    sockets: [OwnedFd; 2],
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

/// The connections that were asked for, and what is to be carried over them.
#[derive(Debug)]
pub struct Connections {
    lines: Vec<Line>,
    greeted: bool,
    /// The terminal's master, for changes of its window.
    pub terminal: Option<OwnedFd>,
    /// The path of the terminal's other end, as the process sees it.
    pub terminal_path: Option<String>,
}

/// A stream between the host and the process.
#[derive(Debug)]
struct Line {
    stream: Stream,
    host: OwnedFd,
    process: OwnedFd,
    /// Whether what the host sends is read.
    inward: bool,
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
            sockets: [socket()?, socket()?],
        };
        Ok((streams, ends))
    }

    /// Asks the host for the connections that a container needs.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn connect(self, stdin: bool, terminal: Option<TerminalSize>) -> Result<Connections, StepError> {
        let [first, second] = self.sockets;
        let mut connections = Connections {
            lines: Vec::with_capacity(3),
            greeted: false,
            terminal: None,
            terminal_path: None,
        };
        if let Some(size) = terminal {
            let (master, path) = open_terminal(&self.terminals, size).attempting(|| "open a terminal")?;
            connections.terminal_path = Some(path);
            connections.terminal = Some(duplicate(&master)?);
            connections.add(Stream::Terminal, first, master, stdin)?;
        } else {
            connections.add(Stream::Stdout, first, self.stdout, false)?;
            connections.add(Stream::Stderr, second, self.stderr, false)?;
            if stdin {
                connections.add(Stream::Stdin, socket()?, self.stdin, true)?;
            }
        }
        Ok(connections)
    }
}

impl Connections {
    fn add(&mut self, stream: Stream, host: OwnedFd, process: OwnedFd, inward: bool) -> Result<(), StepError> {
        vsock::begin(&host, STREAM_PORT).attempting(|| format!("connect the stream {stream:?} to the host"))?;
        self.lines.push(Line {
            stream,
            host,
            process,
            inward,
        });
        Ok(())
    }

    /// Says on each connection which stream of which container it carries, once the host has accepted it; does it once.
    ///
    /// # Errors
    /// The host's refusal.
    pub fn greet(&mut self, container: &str) -> Result<(), StepError> {
        if std::mem::replace(&mut self.greeted, true) {
            return Ok(());
        }
        for Line { stream, host, .. } in &self.lines {
            let greeted = || -> io::Result<()> {
                let hello = frame::encode(&StreamHello {
                    container: container.to_owned(),
                    stream: *stream,
                });
                let hello = hello.map_err(io::Error::other)?;
                if write(host, &hello) == Err(Errno::NOTCONN) {
                    vsock::finish(host)?;
                    // An empty connection takes a whole greeting, which is far shorter than its buffer.
                    write(host, &hello)?;
                }
                Ok(())
            };
            greeted().attempting(|| format!("connect the stream {stream:?} to the host"))?;
        }
        Ok(())
    }

    /// Takes what is to be relayed: source, sink. None of them blocks.
    ///
    /// # Errors
    /// The kernel's.
    pub fn take_directions(&mut self) -> Result<Vec<(OwnedFd, OwnedFd)>, StepError> {
        let mut directions = Vec::with_capacity(self.lines.len() + 1);
        for line in self.lines.drain(..) {
            match (line.stream, line.inward) {
                (Stream::Stdin, _) => directions.push((line.host, line.process)),
                (_, true) => {
                    directions.push((duplicate(&line.host)?, duplicate(&line.process)?));
                    directions.push((line.process, line.host));
                }
                (_, false) => directions.push((line.process, line.host)),
            }
        }
        Ok(directions)
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
fn pipe() -> Result<(OwnedFd, OwnedFd), StepError> {
    pipe_with(PipeFlags::CLOEXEC).attempting(|| "make a pipe")
}

fn socket() -> Result<OwnedFd, StepError> {
    vsock::socket().attempting(|| "make a vsock socket")
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
