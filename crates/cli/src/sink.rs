//! Where a task's output goes: this process's standard output or error.
//!
//! Neither may be made non-blocking, for other processes share them, and a write that blocks would keep Ctrl-C from the task. So what
//! the kernel says it takes at once is written at once, and only the rest goes by a thread of its own, which costs its start.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt;

/// The bytes that a pipe or terminal that polls as writable takes without blocking: `PIPE_BUF` (pipe(7)).
const WRITE_LEN_MAX: usize = 4096;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// One of them, to write to.
#[derive(Debug)]
pub struct Sink {
    target: Target,
}

impl Sink {
    /// A sink.
    pub const fn new(target: Target) -> Self {
        Self { target }
    }

    /// Writes all of `bytes`, and keeps nobody else waiting meanwhile.
    pub async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self.target {
                Target::Output => write_at_once(io::stdout().as_fd(), bytes),
                Target::Error => write_at_once(io::stderr().as_fd(), bytes),
            }?;
            if written == 0 {
                return self.write_by_thread(bytes).await;
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    async fn write_by_thread(&self, bytes: &[u8]) -> io::Result<()> {
        match self.target {
            Target::Output => write_and_flush(tokio::io::stdout(), bytes).await,
            Target::Error => write_and_flush(tokio::io::stderr(), bytes).await,
        }
    }
}

/// Writes what `descriptor` takes without blocking, at most [`WRITE_LEN_MAX`]; how many bytes these were.
fn write_at_once(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let mut polled = [PollFd::from_borrowed_fd(descriptor, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    // What cannot be polled is taken to block.
    if poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().contains(PollFlags::OUT) {
        return Ok(0);
    }
    match rustix::io::write(descriptor, &bytes[..bytes.len().min(WRITE_LEN_MAX)]) {
        // Somebody else filled it, or made it non-blocking and filled it: the thread waits or fails.
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => Ok(other?),
    }
}

async fn write_and_flush(mut target: impl tokio::io::AsyncWrite + Unpin, bytes: &[u8]) -> io::Result<()> {
    target.write_all(bytes).await?;
    target.flush().await
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_pipe_is_filled_in_pieces_and_takes_more_once_it_was_read() {
        let (mut reader, writer) = io::pipe().unwrap();
        let bytes = [7; WRITE_LEN_MAX + 1];
        assert_eq!(write_at_once(writer.as_fd(), &bytes).unwrap(), WRITE_LEN_MAX);
        while write_at_once(writer.as_fd(), &bytes).unwrap() > 0 {}
        reader.read_exact(&mut [0; WRITE_LEN_MAX]).unwrap();
        assert_eq!(write_at_once(writer.as_fd(), &bytes).unwrap(), WRITE_LEN_MAX);
    }

    #[test]
    fn a_pipe_without_a_reader_is_a_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write_at_once(writer.as_fd(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
