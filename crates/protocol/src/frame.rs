//! Frames: a length, then one JSON message of that many bytes; on connections that carry streams, or a [`Piece`] of one.
//!
//! Both ends of every connection may be hostile to each other, so the length is bounded before anything is allocated
//! and a message that does not fit its type is refused whole.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::guest::Stream;

/// The largest message, in bytes: bounds the memory that one peer can make the other use.
pub const FRAME_LEN_MAX: u32 = 1 << 20;

/// Bytes of the length that precedes every message: a `u32`, little endian.
pub const HEADER_LEN: usize = 4;

/// Set in the header of a frame that is a [`Piece`] and no message.
pub const PIECE: u32 = 1 << 31;

/// Bytes of a piece before its content: process `u32`, stream `u8`, offset `u64`, all little endian.
pub const PIECE_HEADER_LEN: usize = 13;

/// The most content of a piece, in bytes.
pub const PIECE_LEN_MAX: usize = 32 << 10;

/// Consecutive bytes of a stream. One without content is the stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Whose stream.
    pub process: u32,
    /// Which.
    pub stream: Stream,
    /// How many bytes of the stream come before.
    pub offset: u64,
    /// The bytes.
    pub content: &'a [u8],
}

/// What a frame of a connection with streams is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message of so many bytes.
    Message(usize),
    /// A [`Piece`] of so many bytes, with its own header.
    Piece(usize),
}

/// What follows `header` on a connection with streams.
///
/// # Errors
/// [`FrameError::TooLong`]
pub fn parse_kind(header: [u8; HEADER_LEN]) -> Result<Kind, FrameError> {
    let word = u32::from_le_bytes(header);
    if word & PIECE == 0 {
        return parse_header(header).map(Kind::Message);
    }
    let len = usize::try_from(word & !PIECE).unwrap_or(usize::MAX);
    if len > PIECE_HEADER_LEN + PIECE_LEN_MAX {
        return Err(FrameError::TooLong { len });
    }
    Ok(Kind::Piece(len))
}

/// Takes a piece apart, as its bytes follow the frame's header.
///
/// # Errors
/// [`FrameError::Piece`]
pub fn parse_piece(bytes: &[u8]) -> Result<Piece<'_>, FrameError> {
    let (header, content) = bytes.split_first_chunk::<PIECE_HEADER_LEN>().ok_or(FrameError::Piece)?;
    let [p0, p1, p2, p3, stream, offset @ ..] = *header;
    let stream = match stream {
        0 => Stream::Stdin,
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Err(FrameError::Piece),
    };
    Ok(Piece {
        process: u32::from_le_bytes([p0, p1, p2, p3]),
        stream,
        offset: u64::from_le_bytes(offset),
        content,
    })
}

/// Everything of a piece's frame but the content, which is to follow.
///
/// # Errors
/// [`FrameError::TooLong`] where the content exceeds [`PIECE_LEN_MAX`].
pub fn piece_header(piece: &Piece<'_>) -> Result<[u8; HEADER_LEN + PIECE_HEADER_LEN], FrameError> {
    let len = piece.content.len();
    let too_long = FrameError::TooLong { len };
    let Some(word) = u32::try_from(len + PIECE_HEADER_LEN)
        .ok()
        .filter(|_| len <= PIECE_LEN_MAX)
    else {
        return Err(too_long);
    };
    let mut header = [0; HEADER_LEN + PIECE_HEADER_LEN];
    header[..4].copy_from_slice(&(word | PIECE).to_le_bytes());
    header[4..8].copy_from_slice(&piece.process.to_le_bytes());
    header[8] = match piece.stream {
        Stream::Stdin => 0,
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    header[9..].copy_from_slice(&piece.offset.to_le_bytes());
    Ok(header)
}

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed.
    #[error("cannot {attempted} a frame")]
    Io {
        /// `read` or `write`.
        attempted: &'static str,
        /// The connection's error.
        source: io::Error,
    },
    /// The message would be, or claims to be, longer than [`FRAME_LEN_MAX`].
    #[error("a frame of {len} bytes is longer than the limit of {FRAME_LEN_MAX}")]
    TooLong {
        /// The length in bytes.
        len: usize,
    },
    /// A piece is shorter than its header, or of no stream.
    #[error("a frame is not a piece of a stream")]
    Piece,
    /// The bytes are not a message of the expected type.
    #[error("a frame is not a valid message")]
    Malformed(#[source] serde_json::Error),
}

/// Encodes `message` with its length in front, ready to be written.
///
/// # Errors
/// [`FrameError::TooLong`] where the message exceeds [`FRAME_LEN_MAX`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; HEADER_LEN];
    serde_json::to_writer(&mut bytes, message).map_err(FrameError::Malformed)?;
    let len = bytes.len() - HEADER_LEN;
    let header = u32::try_from(len)
        .ok()
        .filter(|len| *len <= FRAME_LEN_MAX)
        .ok_or(FrameError::TooLong { len })?;
    bytes[..HEADER_LEN].copy_from_slice(&header.to_le_bytes());
    Ok(bytes)
}

/// The number of message bytes that follow `header`.
///
/// # Errors
/// [`FrameError::TooLong`] where it exceeds [`FRAME_LEN_MAX`].
pub fn parse_header(header: [u8; HEADER_LEN]) -> Result<usize, FrameError> {
    let len = u32::from_le_bytes(header);
    let bytes = usize::try_from(len).unwrap_or(usize::MAX);
    if len > FRAME_LEN_MAX {
        Err(FrameError::TooLong { len: bytes })
    } else {
        Ok(bytes)
    }
}

/// Decodes the bytes of one message, as they follow the header.
///
/// # Errors
/// [`FrameError::Malformed`] where the bytes are not exactly one `T`.
pub fn parse<T: DeserializeOwned>(message: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(message).map_err(FrameError::Malformed)
}

/// Writes `message` as one frame, with a single call to the writer.
///
/// # Errors
/// As [`encode`], and the writer's.
pub fn write<T: Serialize>(writer: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let bytes = encode(message)?;
    writer.write_all(&bytes).map_err(|source| FrameError::Io {
        attempted: "write",
        source,
    })
}

/// Reads one frame; `None` where the peer closed the connection between frames.
///
/// # Errors
/// The reader's, and as [`parse_header`] and [`parse`]. A connection that ends within a frame is an error.
pub fn read<T: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<T>, FrameError> {
    let failed = |source| FrameError::Io {
        attempted: "read",
        source,
    };
    let mut header = [0; HEADER_LEN];
    if !fill_or_end(reader, &mut header).map_err(failed)? {
        return Ok(None);
    }
    let mut message = vec![0; parse_header(header)?];
    reader.read_exact(&mut message).map_err(failed)?;
    parse(&message).map(Some)
}

/// Fills `buffer`; `false` where the stream ended before its first byte.
fn fill_or_end(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let first = loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if first == 0 {
        return Ok(false);
    }
    reader.read_exact(&mut buffer[first..])?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(messages in prop::collection::vec(".*", 0..8)) {
            let mut bytes = Vec::new();
            for message in &messages {
                write(&mut bytes, message).unwrap();
            }
            let mut reader = bytes.as_slice();
            for message in &messages {
                prop_assert_eq!(&read::<String>(&mut reader).unwrap().unwrap(), message);
            }
            prop_assert!(read::<String>(&mut reader).unwrap().is_none());
        }

        #[test]
        fn a_piece_is_read_as_written(process: u32, offset: u64, content in prop::collection::vec(any::<u8>(), 0..64)) {
            let piece = Piece { process, stream: Stream::Stderr, offset, content: &content };
            let header = piece_header(&piece).unwrap();
            let (word, rest) = header.split_first_chunk().unwrap();
            let bytes = [rest, content.as_slice()].concat();
            prop_assert_eq!(parse_kind(*word).unwrap(), Kind::Piece(bytes.len()));
            prop_assert_eq!(parse_piece(&bytes).unwrap(), piece);
        }

        #[test]
        fn arbitrary_bytes_are_a_piece_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(piece) = parse_piece(&bytes) {
                prop_assert_eq!(piece.content.len() + PIECE_HEADER_LEN, bytes.len());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read::<crate::guest::ToHost>(&mut bytes.as_slice());
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_it_is_allocated() {
        let header = (FRAME_LEN_MAX + 1).to_le_bytes();
        assert!(matches!(
            read::<String>(&mut header.as_slice()),
            Err(FrameError::TooLong { .. })
        ));
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        let message = "x".repeat(FRAME_LEN_MAX as usize);
        assert!(matches!(encode(&message), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_frame_cut_short_is_an_error() {
        let bytes = encode(&"hello").unwrap();
        assert!(matches!(
            read::<String>(&mut &bytes[..bytes.len() - 1]),
            Err(FrameError::Io { .. })
        ));
        assert!(matches!(read::<String>(&mut &bytes[..2]), Err(FrameError::Io { .. })));
    }
}
