//! The frames of a running program: kind (8 bits), payload length (32 bits, big endian), payload.
//!
//! Output needs no flow control of its own: frames of one direction come in order, and TCP holds the program back when nobody reads.
//! Input does: signals and window sizes travel behind it and must not wait for a program that does not read, so the client sends no more
//! input than the init has granted ([`ServerFrame::InputCredit`]).

use super::request::TerminalSize;

/// The longest payload in bytes.
pub const PAYLOAD_LEN_MAX: usize = 256 * 1024;
/// Length of a frame's header in bytes.
pub const HEADER_LEN: usize = 5;
/// Bytes of input that may be on their way to the program before the first [`ServerFrame::InputCredit`].
pub const INPUT_CREDIT_INITIAL: u32 = 256 * 1024;

/// What the client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    /// Bytes for the program's standard input.
    Input(Vec<u8>),
    /// The end of the program's standard input.
    InputEnd,
    /// A signal for the program's process group.
    Signal(u8),
    /// The terminal's new size.
    Resize(TerminalSize),
}

/// What the init sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerFrame {
    /// Bytes of the program's standard output.
    Output(Vec<u8>),
    /// Bytes of the program's standard error.
    Error(Vec<u8>),
    /// So many more bytes of input may be sent.
    InputCredit(u32),
    /// The program ended with this exit code. The last frame.
    Exited(u8),
    /// The program was killed by this signal. The last frame.
    Killed(u8),
}

/// A frame that breaks the rules above.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// A payload over [`PAYLOAD_LEN_MAX`].
    #[error("a frame of {length} bytes is longer than the {PAYLOAD_LEN_MAX} allowed")]
    TooLong {
        /// The length found.
        length: u32,
    },
    /// A kind that is not ours.
    #[error("a frame is of the unknown kind {kind}")]
    UnknownKind {
        /// The kind found.
        kind: u8,
    },
    /// A payload whose length does not fit the kind.
    #[error("a frame of kind {kind} has a payload of {length} bytes")]
    WrongLength {
        /// The frame's kind.
        kind: u8,
        /// The length found.
        length: usize,
    },
}

const INPUT: u8 = 0;
const INPUT_END: u8 = 1;
const SIGNAL: u8 = 2;
const RESIZE: u8 = 3;
const OUTPUT: u8 = 16;
const ERROR: u8 = 17;
const INPUT_CREDIT: u8 = 18;
const EXITED: u8 = 19;
const KILLED: u8 = 20;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload means.
    pub kind: u8,
    /// The payload's length, at most [`PAYLOAD_LEN_MAX`].
    pub length: usize,
}

impl Header {
    /// Reads a header; the kind is judged with the payload.
    pub fn parse(bytes: [u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let [kind, length @ ..] = bytes;
        let length = u32::from_be_bytes(length);
        match usize::try_from(length) {
            Ok(fits) if fits <= PAYLOAD_LEN_MAX => Ok(Self { kind, length: fits }),
            _ => Err(FrameError::TooLong { length }),
        }
    }
}

/// The bytes of a frame. The payload is at most [`PAYLOAD_LEN_MAX`]: callers cut longer ones.
fn encode(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend_from_slice(&header(kind, payload.len()));
    bytes.extend_from_slice(payload);
    bytes
}

fn header(kind: u8, length: usize) -> [u8; HEADER_LEN] {
    // A longer payload than a header can tell would be refused by the reader all the same.
    let [a, b, c, d] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c, d]
}

/// The header in front of `length` bytes of standard output, for a caller that has them in a buffer already.
pub fn output_header(length: usize) -> [u8; HEADER_LEN] {
    header(OUTPUT, length)
}

/// The header in front of `length` bytes of standard error, for a caller that has them in a buffer already.
pub fn error_header(length: usize) -> [u8; HEADER_LEN] {
    header(ERROR, length)
}

impl ClientFrame {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Input(bytes) => encode(INPUT, bytes),
            Self::InputEnd => encode(INPUT_END, &[]),
            Self::Signal(signal) => encode(SIGNAL, &[*signal]),
            Self::Resize(size) => {
                let [a, b] = size.rows.to_be_bytes();
                let [c, d] = size.columns.to_be_bytes();
                encode(RESIZE, &[a, b, c, d])
            }
        }
    }

    /// Reads a frame from its kind and payload.
    pub fn parse(kind: u8, payload: Vec<u8>) -> Result<Self, FrameError> {
        let wrong_length = FrameError::WrongLength {
            kind,
            length: payload.len(),
        };
        match (kind, payload.as_slice()) {
            (INPUT, _) => Ok(Self::Input(payload)),
            (INPUT_END, []) => Ok(Self::InputEnd),
            (SIGNAL, [signal]) => Ok(Self::Signal(*signal)),
            (RESIZE, &[a, b, c, d]) => Ok(Self::Resize(TerminalSize {
                rows: u16::from_be_bytes([a, b]),
                columns: u16::from_be_bytes([c, d]),
            })),
            (INPUT_END | SIGNAL | RESIZE, _) => Err(wrong_length),
            _ => Err(FrameError::UnknownKind { kind }),
        }
    }
}

impl ServerFrame {
    /// The frame's bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output(bytes) => encode(OUTPUT, bytes),
            Self::Error(bytes) => encode(ERROR, bytes),
            Self::InputCredit(length) => encode(INPUT_CREDIT, &length.to_be_bytes()),
            Self::Exited(code) => encode(EXITED, &[*code]),
            Self::Killed(signal) => encode(KILLED, &[*signal]),
        }
    }

    /// Reads a frame from its kind and payload.
    pub fn parse(kind: u8, payload: Vec<u8>) -> Result<Self, FrameError> {
        let wrong_length = FrameError::WrongLength {
            kind,
            length: payload.len(),
        };
        match (kind, payload.as_slice()) {
            (OUTPUT, _) => Ok(Self::Output(payload)),
            (ERROR, _) => Ok(Self::Error(payload)),
            (INPUT_CREDIT, &[a, b, c, d]) => Ok(Self::InputCredit(u32::from_be_bytes([a, b, c, d]))),
            (EXITED, [code]) => Ok(Self::Exited(*code)),
            (KILLED, [signal]) => Ok(Self::Killed(*signal)),
            (INPUT_CREDIT | EXITED | KILLED, _) => Err(wrong_length),
            _ => Err(FrameError::UnknownKind { kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(bytes: &[u8]) -> (Header, Vec<u8>) {
        let header = Header::parse(bytes[..HEADER_LEN].try_into().unwrap()).unwrap();
        assert_eq!(header.length, bytes.len() - HEADER_LEN);
        (header, bytes[HEADER_LEN..].to_vec())
    }

    fn check_client(frame: &ClientFrame) {
        let (header, payload) = split(&frame.encode());
        assert_eq!(&ClientFrame::parse(header.kind, payload).unwrap(), frame);
    }

    fn check_server(frame: &ServerFrame) {
        let (header, payload) = split(&frame.encode());
        assert_eq!(&ServerFrame::parse(header.kind, payload).unwrap(), frame);
    }

    #[test]
    fn a_payload_over_the_limit_is_refused() {
        assert_eq!(
            Header::parse([INPUT, 0, 4, 0, 1]),
            Err(FrameError::TooLong { length: 256 * 1024 + 1 })
        );
        assert!(Header::parse([INPUT, 0, 4, 0, 0]).is_ok());
    }

    #[test]
    fn a_payload_that_does_not_fit_its_kind_is_refused() {
        assert_eq!(
            ClientFrame::parse(SIGNAL, vec![]),
            Err(FrameError::WrongLength {
                kind: SIGNAL,
                length: 0
            })
        );
        assert_eq!(
            ServerFrame::parse(EXITED, vec![1, 2]),
            Err(FrameError::WrongLength {
                kind: EXITED,
                length: 2
            })
        );
    }

    #[test]
    fn the_two_directions_do_not_mix() {
        assert_eq!(
            ClientFrame::parse(OUTPUT, vec![]),
            Err(FrameError::UnknownKind { kind: OUTPUT })
        );
        assert_eq!(
            ServerFrame::parse(INPUT, vec![]),
            Err(FrameError::UnknownKind { kind: INPUT })
        );
    }

    proptest! {
        #[test]
        fn every_frame_reads_back_as_written(bytes: Vec<u8>, byte: u8, rows: u16, columns: u16, length: u32) {
            check_client(&ClientFrame::Input(bytes.clone()));
            check_client(&ClientFrame::InputEnd);
            check_client(&ClientFrame::Signal(byte));
            check_client(&ClientFrame::Resize(TerminalSize { rows, columns }));
            check_server(&ServerFrame::Output(bytes.clone()));
            check_server(&ServerFrame::Error(bytes));
            check_server(&ServerFrame::InputCredit(length));
            check_server(&ServerFrame::Exited(byte));
            check_server(&ServerFrame::Killed(byte));
        }

        #[test]
        fn any_bytes_are_read_or_refused(header: [u8; HEADER_LEN], kind: u8, payload: Vec<u8>) {
            let _ = Header::parse(header);
            let _ = ClientFrame::parse(kind, payload.clone());
            let _ = ServerFrame::parse(kind, payload);
        }
    }
}
