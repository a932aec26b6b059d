//! Frames of [`protocol::frame`] over asynchronous connections.

use protocol::frame::{self, FrameError, HEADER_LEN};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Reads one frame; `None` where the peer closed the connection between frames.
pub async fn read<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, FrameError> {
    let failed = |source| FrameError::Io {
        attempted: "read",
        source,
    };
    let mut header = [0; HEADER_LEN];
    let first = reader.read(&mut header).await.map_err(failed)?;
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut header[first..]).await.map_err(failed)?;
    let mut message = vec![0; frame::parse_header(header)?];
    reader.read_exact(&mut message).await.map_err(failed)?;
    frame::parse(&message).map(Some)
}

/// Writes one frame.
pub async fn write<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), message: &T) -> Result<(), FrameError> {
    let bytes = frame::encode(message)?;
    writer.write_all(&bytes).await.map_err(|source| FrameError::Io {
        attempted: "write",
        source,
    })
}

/// Whether the connection failed, rather than what came over it being wrong.
pub fn is_disconnect(error: &FrameError) -> bool {
    matches!(error, FrameError::Io { source, .. } if source.kind() != io::ErrorKind::InvalidData)
}
