//! Carries a running program's streams over its connection.
//!
//! A thread each: this one reads the client's frames and never waits for the program; one feeds the program's input; one or two send its
//! output; one waits for its end. What the program wrote before it ended is sent before its exit status, always; what a process that it left
//! behind writes later is not waited for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use machine::wire::frame::{self, HEADER_LEN, Header, PAYLOAD_LEN_MAX};
use machine::wire::{ClientFrame, ExecRequest, Response, ServerFrame};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::program::{self, PIPE_LEN, Program};
use crate::relay::respond;

/// What a program gets between SIGHUP and SIGKILL when its client has gone.
const HANGUP_GRACE: Duration = Duration::from_secs(2);
/// What is sent of a stream after the program's end: all that a pipe can hold, and not for ever what an orphan keeps writing.
const DRAIN_LEN_MAX: usize = 2 * PIPE_LEN;
/// The byte that means end of input to a terminal in its usual mode (Ctrl-D).
const TERMINAL_END_OF_INPUT: u8 = 4;

/// The side of the connection that is written to. Its threads send one whole frame at a time.
type Sending = Mutex<TcpStream>;

/// The program's process group, for as long as the number is certainly its own.
type Group = Mutex<Option<Pid>>;

/// Serves an `Exec` request to its end.
pub fn serve(mut connection: TcpStream, request: &ExecRequest) -> Result<()> {
    let program = match program::start(request) {
        Ok(program) => program,
        Err((refusal, message)) => return respond(&mut connection, &Response::Refused { refusal, message }),
    };
    respond(&mut connection, &Response::Accepted)?;
    let Program {
        child,
        input,
        output,
        errors,
        terminal,
    } = program;
    let group = Group::new(Some(Pid::from_child(&child)));
    let sending = Sending::new(connection.try_clone().context("cannot share the connection")?);
    let (ended, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("cannot create a pipe")?;
    let (feed, fed) = channel();
    thread::scope(|scope| {
        let (to_client, on_terminal) = (&sending, terminal.is_some());
        scope.spawn(move || feed_input(input, &fed, to_client, on_terminal));
        scope.spawn(|| {
            let status = thread::scope(|scope| {
                scope.spawn(|| send_output(output, &ended, &sending, frame::output_header));
                if let Some(errors) = errors {
                    scope.spawn(|| send_output(errors, &ended, &sending, frame::error_header));
                }
                wait_for_end(child, &group, end)
            });
            finish(&sending, status);
        });
        // When the client has closed the connection, after the exit status or before.
        let _ = read_frames(connection, &feed, terminal.as_ref(), &group);
        drop(feed);
        hang_up(&group);
    });
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What the mutexes here guard is right at every moment, so a panic elsewhere spoils nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_frames(
    mut connection: TcpStream,
    feed: &Sender<Vec<u8>>,
    terminal: Option<&File>,
    group: &Group,
) -> Result<()> {
    loop {
        let mut header = [0; HEADER_LEN];
        connection.read_exact(&mut header)?;
        let header = Header::parse(header)?;
        let mut payload = vec![0; header.length];
        connection.read_exact(&mut payload)?;
        match ClientFrame::parse(header.kind, payload)? {
            // An error means that the program's input is closed: the rest has nowhere to go.
            ClientFrame::Input(bytes) if !bytes.is_empty() => drop(feed.send(bytes)),
            ClientFrame::Input(_) => {}
            ClientFrame::InputEnd => drop(feed.send(Vec::new())),
            ClientFrame::Signal(number) => signal(group, number),
            ClientFrame::Resize(size) => {
                if let Some(terminal) = terminal {
                    program::resize(terminal, size)?;
                }
            }
        }
    }
}

fn signal(group: &Group, number: u8) {
    // Neither a number that is no signal nor a group that has just ended is anything to act on.
    if let (Some(pid), Some(signal)) = (*lock(group), Signal::from_named_raw(i32::from(number))) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Writes what comes to the program's input, grants the client as much again, and closes the input after an empty message.
fn feed_input(mut input: File, fed: &Receiver<Vec<u8>>, sending: &Sending, terminal: bool) {
    for bytes in fed {
        if bytes.is_empty() {
            if terminal {
                let _ = input.write_all(&[TERMINAL_END_OF_INPUT]);
                continue;
            }
            break;
        }
        let written = input.write_all(&bytes);
        let credit = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // A program that has closed its input loses what follows, like one at the end of a pipe; the client may go on sending.
        if send(sending, &ServerFrame::InputCredit(credit)).is_err() || written.is_err() {
            break;
        }
    }
    drop(input);
    // Whatever still comes has no reader; its credit keeps the client from waiting for one.
    for bytes in fed {
        let _ = send(
            sending,
            &ServerFrame::InputCredit(u32::try_from(bytes.len()).unwrap_or(u32::MAX)),
        );
    }
}

fn send(sending: &Sending, frame: &ServerFrame) -> io::Result<()> {
    lock(sending).write_all(&frame.encode())
}

/// Sends what `output` gives until it ends or, after the program's end, until there is nothing in it.
fn send_output(mut output: File, ended: &OwnedFd, sending: &Sending, header: fn(usize) -> [u8; HEADER_LEN]) {
    let mut buffer = vec![0; HEADER_LEN + PAYLOAD_LEN_MAX];
    let mut left_after_end = DRAIN_LEN_MAX;
    loop {
        let (readable, over) = match wait_readable(&output, ended) {
            Ok(states) => states,
            Err(_) => return,
        };
        if !readable || left_after_end == 0 {
            return;
        }
        // A terminal whose last program has gone gives an error instead of an end.
        let Ok(length @ 1..) = output.read(&mut buffer[HEADER_LEN..]) else {
            return;
        };
        if over {
            left_after_end = left_after_end.saturating_sub(length);
        }
        buffer[..HEADER_LEN].copy_from_slice(&header(length));
        if lock(sending).write_all(&buffer[..HEADER_LEN + length]).is_err() {
            return;
        }
    }
}

/// Waits until there is output or the program has ended; says which.
fn wait_readable(output: &File, ended: &OwnedFd) -> io::Result<(bool, bool)> {
    loop {
        let mut waits = [
            PollFd::new(output, PollFlags::IN),
            PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN),
        ];
        match poll(&mut waits, None) {
            Ok(_) => return Ok((!waits[0].revents().is_empty(), !waits[1].revents().is_empty())),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the program's end, and closes `end` to tell the other threads of it.
fn wait_for_end(mut child: Child, group: &Group, end: OwnedFd) -> io::Result<ExitStatus> {
    // First look, then forget the number, then let the kernel have it back: nobody signals a stranger.
    let looked = waitid(
        WaitId::Pid(Pid::from_child(&child)),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    );
    *lock(group) = None;
    let status = child.wait();
    drop(end);
    looked?;
    status
}

/// Sends the exit status and closes this direction.
fn finish(sending: &Sending, status: io::Result<ExitStatus>) {
    let ended = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => ServerFrame::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            (None, signal) => {
                ServerFrame::Killed(signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or(u8::MAX))
            }
        },
        // Without a status the connection ends early, which the client reports.
        Err(_) => return drop(lock(sending).shutdown(std::net::Shutdown::Both)),
    };
    let _ = send(sending, &ended);
    let _ = lock(sending).shutdown(std::net::Shutdown::Write);
}

/// The client has gone: so does what it ran.
fn hang_up(group: &Group) {
    let Some(pid) = *lock(group) else { return };
    let _ = kill_process_group(pid, Signal::HUP);
    let _ = kill_process_group(pid, Signal::CONT);
    thread::sleep(HANGUP_GRACE);
    if let Some(pid) = *lock(group) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
