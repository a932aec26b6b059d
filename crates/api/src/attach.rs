//! The stream of an attached task or of a process executed in one, after the HTTP connection was upgraded.
//!
//! Both directions carry frames: one byte of kind, a `u32` length in big endian, then the payload. The last frame that the host agent
//! sends is [`Frame::Ended`] or [`Frame::Exited`]; a client that disconnects before leaves the task or process running.

use serde::{Deserialize, Serialize};

use crate::exec::ExecEnd;
use crate::task::{Task, TerminalSize};

/// The largest payload, in bytes.
pub const PAYLOAD_LEN_MAX: usize = 256 << 10;

/// Bytes in front of a payload.
pub const HEADER_LEN: usize = 5;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Client to agent: bytes for standard input or the terminal.
    Stdin(Vec<u8>),
    /// Client to agent: standard input has ended.
    StdinEnd,
    /// Client to agent: the terminal's window changed.
    Resize(TerminalSize),
    /// Client to agent: end the task; of an executed process, only [`Stop::Signal`] and [`Stop::Kill`] are known, and reach that process.
    Stop(Stop),
    /// Client to agent: the client leaves, and standard input stays open for whoever attaches next. Without it, input ends with the connection.
    Detach,
    /// Agent to client: bytes of standard output or the terminal.
    Stdout(Vec<u8>),
    /// Agent to client: bytes of standard error.
    Stderr(Vec<u8>),
    /// Agent to client: all output was sent and the task has stopped.
    Ended(Box<Task>),
    /// Agent to client: all output was sent and the executed process has ended.
    Exited(ExecEnd),
}

/// How to end a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The stop signal, then, after the task's stop timeout, a kill.
    Gracefully,
    /// A kill.
    Kill,
    /// Just this signal.
    Signal(u8),
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kind is not one of ours.
    #[error("an attach frame has the unknown kind {0}")]
    UnknownKind(u8),
    /// The payload is longer than [`PAYLOAD_LEN_MAX`].
    #[error("an attach frame of {0} bytes is longer than the limit of {PAYLOAD_LEN_MAX}")]
    TooLong(usize),
    /// The payload is not what its kind carries.
    #[error("an attach frame's payload is malformed")]
    Malformed(#[from] serde_json::Error),
}

/// Takes the first frame off `bytes`: the frame and the number of bytes that it used, or `None` where it is not whole yet.
///
/// # Errors
/// [`AttachError`] where the bytes can never become a frame.
pub fn parse(bytes: &[u8]) -> Result<Option<(Frame, usize)>, AttachError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Ok(None);
    };
    let [kind, length @ ..] = *header;
    let len = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if len > PAYLOAD_LEN_MAX {
        return Err(AttachError::TooLong(len));
    }
    let Some(payload) = rest.get(..len) else {
        return Ok(None);
    };
    let frame = match kind {
        0 => Frame::Stdin(payload.to_vec()),
        1 => Frame::Stdout(payload.to_vec()),
        2 => Frame::Stderr(payload.to_vec()),
        3 => Frame::StdinEnd,
        4 => Frame::Resize(serde_json::from_slice(payload)?),
        5 => Frame::Stop(serde_json::from_slice(payload)?),
        6 => Frame::Ended(serde_json::from_slice(payload)?),
        7 => Frame::Exited(serde_json::from_slice(payload)?),
        8 => Frame::Detach,
        _ => return Err(AttachError::UnknownKind(kind)),
    };
    Ok(Some((frame, HEADER_LEN + len)))
}

/// Encodes one frame.
///
/// # Errors
/// [`AttachError::TooLong`] where the payload exceeds [`PAYLOAD_LEN_MAX`].
pub fn encode(frame: &Frame) -> Result<Vec<u8>, AttachError> {
    match frame {
        Frame::Stdin(bytes) => with_header(0, bytes),
        Frame::Stdout(bytes) => with_header(1, bytes),
        Frame::Stderr(bytes) => with_header(2, bytes),
        Frame::StdinEnd => with_header(3, &[]),
        Frame::Resize(size) => with_header(4, &serde_json::to_vec(size)?),
        Frame::Stop(stop) => with_header(5, &serde_json::to_vec(stop)?),
        Frame::Ended(task) => with_header(6, &serde_json::to_vec(task)?),
        Frame::Exited(end) => with_header(7, &serde_json::to_vec(end)?),
        Frame::Detach => with_header(8, &[]),
    }
}

fn with_header(kind: u8, payload: &[u8]) -> Result<Vec<u8>, AttachError> {
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= PAYLOAD_LEN_MAX);
    let len = len.ok_or(AttachError::TooLong(payload.len()))?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(payload);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_parsed(bytes in prop::collection::vec(any::<u8>(), 0..512), columns: u16, rows: u16) {
            let exited = ExecEnd { exit: crate::task::Exit::Signal(9), reason: None };
            for frame in [Frame::Stdin(bytes.clone()), Frame::Stderr(bytes), Frame::Resize(TerminalSize { columns, rows }), Frame::Exited(exited), Frame::Detach] {
                let encoded = encode(&frame).unwrap();
                let len = encoded.len();
                prop_assert_eq!(parse(&encoded[..len - 1]).unwrap(), None);
                prop_assert_eq!(parse(&encoded).unwrap(), Some((frame, len)));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_at_its_header() {
        assert!(matches!(parse(&[0, 0xff, 0, 0, 0]), Err(AttachError::TooLong(_))));
    }
}
