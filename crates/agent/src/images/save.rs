//! Images on their way out of the store.

use api::error::ApiError;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::StoredImages;

/// Bytes of an archive that are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces of an archive that wait for a client.
const PIECES_MAX: usize = 4;

/// An archive on its way out; an error ends it.
pub type Pieces = mpsc::Receiver<std::io::Result<Bytes>>;

/// Gives what is written to a client.
struct PieceWriter<'a>(&'a mpsc::Sender<std::io::Result<Bytes>>);

impl std::io::Write for PieceWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl StoredImages {
    /// Images as an archive, which is written while it is read.
    ///
    /// # Errors
    /// Where there is no such image, or a part of it was not kept.
    pub async fn save(&self, words: Vec<String>) -> Result<Pieces, ApiError> {
        let saving = self.blocking(move |store| store.saving(&words)).await?;
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || {
            let out = std::io::BufWriter::with_capacity(PIECE_BYTES, PieceWriter(&sender));
            if let Err(error) = saving.write(out) {
                // So that the client does not take it for whole; if that is gone, nobody needs to know.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Ok(pieces)
    }
}
