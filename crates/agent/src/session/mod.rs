//! The host's end of a session with a guest agent ([`protocol::guest`]): messages and pieces of streams, in frames over one connection.
//!
//! A [`Session`] is read by its owner, event by event, and whoever has its [`Commands`] sends. No task of its own runs: what a full socket did not take
//! goes out while the owner waits for the next event. A guest makes the host hold one frame and, for each process that the host itself named,
//! what the owner has not stored yet of its streams, at most their windows.
//!
//! [`connect`] reaches a guest agent that an earlier host agent has left; [`processes`] knows what the guest may speak of, [`inbound`] takes frames apart.

mod commands;
mod connect;
mod event;
mod inbound;
mod processes;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use protocol::frame::FrameError;
use protocol::guest::{Received, Stream, ToGuest, ToHost, VERSION};
use protocol::window::WindowError;
use tokio::io::Interest;
use tokio::net::UnixStream;

pub use commands::Commands;
pub use connect::connect;
pub use event::SessionEvent;
pub use processes::Known;

use commands::Shared;
use inbound::{Frame, Inbound};

/// Why a session is of no further use, or a command was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection, or what came over it.
    #[error("the session with the guest agent failed")]
    Frame(#[from] FrameError),
    /// Another version of the guest agent.
    #[error("the guest agent speaks version {0} of the protocol, and the host agent version {VERSION}")]
    Version(u32),
    /// A message that has no place here.
    #[error("the guest agent sent {0} when it was not expected")]
    Unexpected(&'static str),
    /// A process that the host has not named, or that is over.
    #[error("the guest agent speaks of process {0}, which is not known")]
    UnknownProcess(u32),
    /// A stream that the process has not.
    #[error("process {process} has no stream {stream:?}")]
    NoStream {
        /// The process.
        process: u32,
        /// The stream.
        stream: Stream,
    },
    /// A stream that does not follow the rules.
    #[error("the stream {stream:?} of process {process} is out of order")]
    Stream {
        /// The process.
        process: u32,
        /// The stream.
        stream: Stream,
        /// How.
        source: WindowError,
    },
    /// A command that names a process by a number that another one has.
    #[error("there is a process {0} already")]
    Duplicate(u32),
    /// A command that restarts a container which was never started.
    #[error("there is no container {0:?}")]
    UnknownContainer(String),
    /// The guest agent takes nothing, and the host does not keep any more for it.
    #[error("the guest agent does not read what it is sent")]
    Stuck,
    /// The connection has ended.
    #[error("the session with the guest agent is over")]
    Closed,
}

/// What the guest agent may say now.
#[derive(Debug)]
enum Stage {
    /// `Hello` only; what a resumed session then answers.
    Greeting(Option<Vec<Received>>),
    /// What has been before, until it has told all.
    Resuming,
    /// Everything.
    Live,
}

/// A session. Dropping it ends the connection when all [`Commands`] are dropped too.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    inbound: Inbound,
    stage: Stage,
}

impl Session {
    /// The first session of a guest, over the connection that the guest agent has made. [`SessionEvent::Hello`] comes first; then the owner
    /// sends [`ToGuest::Start`].
    #[must_use]
    pub fn first(connection: UnixStream) -> Self {
        Self::new(connection, Shared::first, Stage::Greeting(None))
    }

    /// A further session, over a connection from [`connect`], with what is stored of each stream. `known` are the processes of containers that the
    /// owner has named: the last one of each container, and all others of which a stream has not ended. [`ToGuest::Resume`] is sent by itself;
    /// what happened before comes again between [`SessionEvent::Hello`] and [`SessionEvent::Resumed`].
    #[must_use]
    pub fn resume(connection: UnixStream, known: &[Known], received: Vec<Received>) -> Self {
        let shared = |connection| Shared::resumed(connection, known, &received);
        let shared = Arc::new(shared(connection));
        Self {
            shared,
            inbound: Inbound::default(),
            stage: Stage::Greeting(Some(received)),
        }
    }

    fn new(connection: UnixStream, shared: fn(UnixStream) -> Shared, stage: Stage) -> Self {
        Self {
            shared: Arc::new(shared(connection)),
            inbound: Inbound::default(),
            stage,
        }
    }

    /// What sends; clones send over the same session.
    #[must_use]
    pub fn commands(&self) -> Commands {
        Commands::of(&self.shared)
    }

    /// Waits for the next event; `None` where the connection has ended, politely or not. May be dropped while it waits. To be called again and
    /// again: what the socket did not take is sent meanwhile.
    ///
    /// # Errors
    /// [`SessionError`]: the guest agent does not keep to the protocol, and is not listened to any more.
    pub async fn next(&mut self) -> Result<Option<SessionEvent>, SessionError> {
        loop {
            while let Some(frame) = self.inbound.take()? {
                if let Some(event) = self.understand(frame)? {
                    return Ok(Some(event));
                }
            }
            if self.exchange().await? {
                self.shared.close();
                return Ok(None);
            }
        }
    }

    /// Waits until something can be read, or written that is to be written, and does it; whether the connection has ended.
    async fn exchange(&mut self) -> Result<bool, SessionError> {
        let Shared { connection, .. } = &*self.shared;
        let more = self.shared.backlog.notified();
        let ready = if self.shared.has_backlog() {
            connection.ready(Interest::READABLE | Interest::WRITABLE).await
        } else {
            tokio::select! {
                ready = connection.ready(Interest::READABLE) => ready,
                () = more => return Ok(false),
            }
        };
        let ready = ready.map_err(failed)?;
        if ready.is_writable() {
            self.shared.flush();
        }
        if !ready.is_readable() {
            return Ok(false);
        }
        match connection.try_read_buf(self.inbound.room()) {
            Ok(len) => Ok(len == 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            // The microVM is gone, or was killed: its end tells why.
            Err(error) if is_end(&error) => Ok(true),
            Err(error) => Err(failed(error)),
        }
    }

    /// What a frame means; nothing where it concerns this module only.
    fn understand(&mut self, frame: Frame) -> Result<Option<SessionEvent>, SessionError> {
        match (frame, &mut self.stage) {
            (Frame::Message(ToHost::Hello { version }), Stage::Greeting(received)) => {
                if version != VERSION {
                    return Err(SessionError::Version(version));
                }
                self.stage = match received.take() {
                    Some(received) => {
                        self.shared.send(&ToGuest::Resume { received })?;
                        Stage::Resuming
                    }
                    None => Stage::Live,
                };
                Ok(Some(SessionEvent::Hello { version }))
            }
            (Frame::Message(ToHost::Failed { message }), _) => Ok(Some(SessionEvent::Failed { message })),
            (Frame::Message(ToHost::Hello { .. }), _) => Err(SessionError::Unexpected("a second greeting")),
            (_, Stage::Greeting(_)) => Err(SessionError::Unexpected("something before its greeting")),
            (Frame::Message(ToHost::Resumed), Stage::Resuming) => {
                self.stage = Stage::Live;
                self.shared.resumed_all();
                Ok(Some(SessionEvent::Resumed))
            }
            (Frame::Message(ToHost::Resumed), _) => Err(SessionError::Unexpected("the end of a repetition")),
            (Frame::Message(ToHost::Acknowledge(received)), stage) => {
                self.shared
                    .input_was_taken(received, matches!(stage, Stage::Resuming))?;
                Ok(None)
            }
            (Frame::Message(message), _) => self.shared.hear(message).map(Some),
            (Frame::Piece { .. }, Stage::Resuming) => Err(SessionError::Unexpected("output among a repetition")),
            (
                Frame::Piece {
                    process,
                    stream,
                    offset,
                    content,
                },
                Stage::Live,
            ) => self.shared.accept(process, stream, offset, content).map(Some),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whoever waits to send waits no more.
        self.shared.close();
    }
}

fn failed(source: io::Error) -> SessionError {
    FrameError::Io {
        attempted: "read",
        source,
    }
    .into()
}

/// Whether an error only says that nobody is at the other end.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
