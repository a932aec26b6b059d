//! The client's end of an attached task.

use std::io;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ClientError;
use crate::attach::{self, Frame, PAYLOAD_LEN_MAX};

type Stream = TokioIo<Upgraded>;

/// An attached task: split it to read and write at the same time.
pub struct Attached {
    stream: Stream,
}

impl Attached {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        Self {
            stream: TokioIo::new(upgraded),
        }
    }

    /// Both directions on their own.
    #[must_use]
    pub fn split(self) -> (AttachedReader, AttachedWriter) {
        let (reader, writer) = tokio::io::split(self.stream);
        (
            AttachedReader {
                stream: reader,
                pending: Vec::new(),
            },
            AttachedWriter { stream: writer },
        )
    }
}

/// What the task says.
pub struct AttachedReader {
    stream: ReadHalf<Stream>,
    pending: Vec<u8>,
}

impl AttachedReader {
    /// The next frame; `None` where the host agent closed the connection. Dropping the future loses no bytes.
    ///
    /// # Errors
    /// [`ClientError::Stream`] where the connection fails or carries something else than frames.
    pub async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            let parsed = attach::parse(&self.pending).map_err(|error| ClientError::Stream(io::Error::other(error)))?;
            if let Some((frame, used)) = parsed {
                self.pending.drain(..used);
                return Ok(Some(frame));
            }
            self.pending.reserve(PAYLOAD_LEN_MAX / 4);
            if self
                .stream
                .read_buf(&mut self.pending)
                .await
                .map_err(ClientError::Stream)?
                == 0
            {
                return Ok(None);
            }
        }
    }
}

/// What the task is told.
pub struct AttachedWriter {
    stream: WriteHalf<Stream>,
}

impl AttachedWriter {
    /// Sends one frame.
    ///
    /// # Errors
    /// [`ClientError::Stream`] where the connection fails or the frame is too long.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let bytes = attach::encode(frame).map_err(|error| ClientError::Stream(io::Error::other(error)))?;
        self.stream.write_all(&bytes).await.map_err(ClientError::Stream)
    }
}
