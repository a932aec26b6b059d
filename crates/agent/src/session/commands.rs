//! What is sent to a guest agent, from wherever in the host agent.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use protocol::frame::{self, Piece};
use protocol::guest::{Received, Stream, ToGuest, ToHost};
use tokio::net::UnixStream;
use tokio::sync::Notify;

use super::processes::{Known, Processes, Taken};
use super::{SessionError, SessionEvent};

/// What is kept for a guest agent that does not read, in bytes: far more than the host says at once.
const OUTGOING_LEN_MAX: usize = 8 << 20;

/// What a session and its commands share.
#[derive(Debug)]
pub struct Shared {
    pub(super) connection: UnixStream,
    /// Told when something is to be written that the socket did not take.
    pub(super) backlog: Notify,
    /// Told when input may be sent that could not before, or never.
    room: Notify,
    // Shared by the task that reads the session and those that send; locked for moments.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    processes: Processes,
    /// Whole frames, but for what was written of the first. It has memory only while there is something.
    outgoing: BytesMut,
    is_closed: bool,
}

impl Shared {
    pub(super) fn first(connection: UnixStream) -> Self {
        Self::new(connection, Processes::default())
    }

    pub(super) fn resumed(connection: UnixStream, known: &[Known], received: &[Received]) -> Self {
        Self::new(connection, Processes::known(known, received))
    }

    fn new(connection: UnixStream, processes: Processes) -> Self {
        Self {
            connection,
            backlog: Notify::new(),
            room: Notify::new(),
            state: Mutex::new(State {
                processes,
                ..State::default()
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock leaves a change half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_backlog(&self) -> bool {
        !self.state().outgoing.is_empty()
    }

    pub(super) fn flush(&self) {
        self.flush_locked(&mut self.state());
    }

    /// Writes what the socket takes. An error is left for the reading side, which finds the same.
    fn flush_locked(&self, state: &mut State) {
        while !state.outgoing.is_empty() {
            match self.connection.try_write(&state.outgoing) {
                Ok(len) => state.outgoing.advance(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    state.is_closed = true;
                    state.outgoing.clear();
                }
            }
        }
        state.outgoing = BytesMut::new();
    }

    /// Writes a whole frame, or keeps what the socket does not take.
    fn write(&self, state: &mut State, frame: &[&[u8]]) -> Result<(), SessionError> {
        if state.is_closed {
            return Err(SessionError::Closed);
        }
        if state.outgoing.len() > OUTGOING_LEN_MAX {
            return Err(SessionError::Stuck);
        }
        let was_empty = state.outgoing.is_empty();
        for part in frame {
            state.outgoing.extend_from_slice(part);
        }
        if was_empty {
            self.flush_locked(state);
            if !state.outgoing.is_empty() {
                self.backlog.notify_one();
            }
        }
        Ok(())
    }

    pub(super) fn send(&self, message: &ToGuest) -> Result<(), SessionError> {
        let frame = frame::encode(message)?;
        let mut state = self.state();
        if state.is_closed {
            return Err(SessionError::Closed);
        }
        state.processes.name(message)?;
        self.write(&mut state, &[&frame])
    }

    fn acknowledge(&self, received: Received) -> Result<(), SessionError> {
        let mut state = self.state();
        if !state.processes.store(received)? {
            return Ok(());
        }
        self.write(&mut state, &[&frame::encode(&ToGuest::Acknowledge(received))?])
    }

    /// Sends what is kept of a process's input and was not sent.
    fn pump(&self, state: &mut State, process: u32) -> Result<(), SessionError> {
        loop {
            let Some((header, content)) = next_piece(&mut state.processes, process)? else {
                return Ok(());
            };
            self.write(state, &[&header, &content])?;
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.outgoing = BytesMut::new();
        drop(state);
        self.room.notify_waiters();
    }

    pub(super) fn resumed_all(&self) {
        self.state().processes.resumed();
        self.room.notify_waiters();
    }

    pub(super) fn input_was_taken(&self, received: Received, is_resuming: bool) -> Result<(), SessionError> {
        self.state().processes.input_was_taken(received, is_resuming)?;
        self.room.notify_waiters();
        Ok(())
    }

    pub(super) fn accept(
        &self,
        process: u32,
        stream: Stream,
        offset: u64,
        bytes: Bytes,
    ) -> Result<SessionEvent, SessionError> {
        self.state().processes.accept(process, stream, offset, bytes.len())?;
        Ok(if bytes.is_empty() {
            SessionEvent::StreamEnded {
                process,
                stream,
                offset,
            }
        } else {
            SessionEvent::Output {
                process,
                stream,
                offset,
                bytes,
            }
        })
    }

    /// A message that is an event, of a process that is known.
    pub(super) fn hear(&self, message: ToHost) -> Result<SessionEvent, SessionError> {
        self.state().processes.hear(&message)?;
        Ok(match message {
            ToHost::Hello { version } => SessionEvent::Hello { version },
            ToHost::Resumed => SessionEvent::Resumed,
            ToHost::Prepared { process } => SessionEvent::Prepared { process },
            ToHost::Started { process } => SessionEvent::Started { process },
            ToHost::StartFailed {
                process,
                reason,
                message,
            } => SessionEvent::StartFailed {
                process,
                reason,
                message,
            },
            ToHost::Exited {
                process,
                status,
                out_of_memory,
            } => {
                self.room.notify_waiters();
                SessionEvent::Exited {
                    process,
                    status,
                    out_of_memory,
                }
            }
            ToHost::Measured { request, containers } => SessionEvent::Measured { request, containers },
            ToHost::Listed { request, processes } => SessionEvent::Listed { request, processes },
            ToHost::Failed { message } => SessionEvent::Failed { message },
            ToHost::Acknowledge(_) => return Err(SessionError::Unexpected("an acknowledgement")),
        })
    }
}

/// The next piece of a process's input, which then counts as sent: its header and its content.
fn next_piece(processes: &mut Processes, process: u32) -> Result<Option<(Vec<u8>, Bytes)>, SessionError> {
    let Some(sender) = processes.input(process) else {
        return Ok(None);
    };
    let Some((offset, content)) = sender.next() else {
        return Ok(None);
    };
    let piece = Piece {
        process,
        stream: Stream::Stdin,
        offset,
        content,
    };
    let header = frame::piece_header(&piece)?.to_vec();
    let content = Bytes::copy_from_slice(content);
    sender.was_sent(content.len());
    Ok(Some((header, content)))
}

/// What sends to one guest agent. Clones send over the same session, each message whole and in the order of the calls.
#[derive(Clone, Debug)]
pub struct Commands(Arc<Shared>);

impl Commands {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(shared.clone())
    }

    /// Sends a message. Processes that it names for the first time are known from then on; [`ToGuest::Acknowledge`] is [`Self::acknowledge`]'s.
    ///
    /// # Errors
    /// [`SessionError::Closed`] where the session is over; [`SessionError::Duplicate`], [`SessionError::UnknownContainer`], [`SessionError::Frame`]
    /// where the message cannot be sent; [`SessionError::Stuck`].
    pub fn send(&self, message: &ToGuest) -> Result<(), SessionError> {
        self.0.send(message)
    }

    /// Says that this much of an output stream is stored for good. The guest agent is told when it is worth a message.
    ///
    /// # Errors
    /// As [`Self::send`]; [`SessionError::Stream`] where so much has never arrived.
    pub fn acknowledge(&self, received: Received) -> Result<(), SessionError> {
        self.0.acknowledge(received)
    }

    /// Sends input to a process; waits until its window has taken all of it. What a future that is dropped has not taken is lost.
    ///
    /// # Errors
    /// [`SessionError::Closed`] where the session is over; [`SessionError::NoStream`] where the process takes no input, or no more.
    pub async fn input(&self, process: u32, mut bytes: Bytes) -> Result<(), SessionError> {
        loop {
            let changed = self.0.room.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let mut state = self.0.state();
                if state.is_closed {
                    return Err(SessionError::Closed);
                }
                match state.processes.keep_input(process, &bytes) {
                    Taken::Bytes(len) => bytes.advance(len),
                    Taken::Never => {
                        let stream = Stream::Stdin;
                        return Err(SessionError::NoStream { process, stream });
                    }
                }
                self.0.pump(&mut state, process)?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Ends a process's input behind what was sent. To a terminal this means nothing.
    ///
    /// # Errors
    /// [`SessionError::Closed`].
    pub async fn end_input(&self, process: u32) -> Result<(), SessionError> {
        loop {
            let changed = self.0.room.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.0.state();
                if state.is_closed {
                    return Err(SessionError::Closed);
                }
                if state.processes.end_input(process) {
                    return self.0.pump(&mut state, process);
                }
            }
            changed.await;
        }
    }
}
