//! Frames out of what a guest sends, however it comes.

use bytes::{Buf, Bytes, BytesMut};
use protocol::frame::{self, FrameError, HEADER_LEN, Kind, Piece};
use protocol::guest::{Stream, ToHost};

/// Room for one reading, in bytes.
const ROOM_LEN: usize = 16 << 10;

/// A frame that has arrived whole.
#[derive(Debug)]
pub enum Frame {
    /// A message.
    Message(ToHost),
    /// A piece of a stream.
    Piece {
        /// Whose stream.
        process: u32,
        /// Which.
        stream: Stream,
        /// How many bytes come before.
        offset: u64,
        /// The bytes; none is the end.
        content: Bytes,
    },
}

/// What has arrived and was not taken: at most one frame and what one reading added to it. It has memory only while there is something.
#[derive(Debug, Default)]
pub struct Inbound(BytesMut);

impl Inbound {
    /// Where the next bytes go.
    pub fn room(&mut self) -> &mut BytesMut {
        self.0.reserve(ROOM_LEN);
        &mut self.0
    }

    /// Takes the next frame, if all of it is there.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((header, rest)) = self.0.split_first_chunk::<HEADER_LEN>() else {
            if self.0.is_empty() {
                self.0 = BytesMut::new();
            }
            return Ok(None);
        };
        let kind = frame::parse_kind(*header)?;
        let (Kind::Message(len) | Kind::Piece(len)) = kind;
        let Some(bytes) = rest.get(..len) else {
            return Ok(None);
        };
        let frame = match kind {
            Kind::Message(_) => Frame::Message(frame::parse(bytes)?),
            Kind::Piece(_) => {
                let Piece {
                    process,
                    stream,
                    offset,
                    content,
                } = frame::parse_piece(bytes)?;
                Frame::Piece {
                    process,
                    stream,
                    offset,
                    // A copy: whoever keeps it for long keeps nothing else.
                    content: Bytes::copy_from_slice(content),
                }
            }
        };
        self.0.advance(HEADER_LEN + len);
        Ok(Some(frame))
    }
}
