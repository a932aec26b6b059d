//! What an owner of a session hears.

use bytes::Bytes;
use protocol::guest::{ExitStatus, ListedProcess, StartFailure, Stream, Usage};

/// What the guest agent tells: [`ToHost`](protocol::guest::ToHost) without what the session sees to itself, and the streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The guest agent answers, in this host agent's version.
    Hello {
        /// That version.
        version: u32,
    },
    /// All that happened before this session has been told again.
    Resumed,
    /// The process waits right before `execve`.
    Prepared {
        /// The process.
        process: u32,
    },
    /// `execve` succeeded.
    Started {
        /// The process.
        process: u32,
    },
    /// The process could not be started; its streams have nothing, not even an end.
    StartFailed {
        /// The process.
        process: u32,
        /// What kind of failure this was.
        reason: StartFailure,
        /// One sentence for a person.
        message: String,
    },
    /// The process ended; each of its output streams has an end of its own.
    Exited {
        /// The process.
        process: u32,
        /// How.
        status: ExitStatus,
        /// Whether the container's memory limit killed a process of it.
        out_of_memory: bool,
    },
    /// Output: to be stored, and then to be acknowledged up to `offset + bytes.len()`.
    Output {
        /// The process.
        process: u32,
        /// The stream.
        stream: Stream,
        /// How many bytes of the stream come before.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// An output stream has ended: to be stored, and then to be acknowledged with `offset + 1`.
    StreamEnded {
        /// The process.
        process: u32,
        /// The stream.
        stream: Stream,
        /// How many bytes it had.
        offset: u64,
    },
    /// What [`ToGuest::Measure`](protocol::guest::ToGuest::Measure) asked for.
    Measured {
        /// As it was asked.
        request: u32,
        /// What each container uses.
        containers: Vec<Usage>,
    },
    /// What [`ToGuest::List`](protocol::guest::ToGuest::List) asked for.
    Listed {
        /// As it was asked.
        request: u32,
        /// What runs.
        processes: Vec<ListedProcess>,
    },
    /// The guest agent cannot go on.
    Failed {
        /// One sentence for a person.
        message: String,
    },
}
