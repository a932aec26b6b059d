//! Bytes between code that waits by blocking and code that does not.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;

/// How many pieces may wait.
const PIECES_WAITING: usize = 16;

/// A channel of pieces.
pub fn pieces() -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    mpsc::channel(PIECES_WAITING)
}

/// Pieces as a blocking reader.
pub struct PieceReader {
    receiver: mpsc::Receiver<Vec<u8>>,
    piece: io::Cursor<Vec<u8>>,
}

impl PieceReader {
    /// Reads what `receiver` gets, until its senders are gone.
    pub fn new(receiver: mpsc::Receiver<Vec<u8>>) -> Self {
        let piece = io::Cursor::default();
        Self { receiver, piece }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.piece.read(buffer)?;
            if len > 0 || buffer.is_empty() {
                return Ok(len);
            }
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = io::Cursor::new(piece),
                None => return Ok(0),
            }
        }
    }
}

/// Pieces from a blocking writer.
pub struct PieceWriter {
    sender: mpsc::Sender<Vec<u8>>,
}

impl PieceWriter {
    /// Sends what is written by `sender`.
    pub const fn new(sender: mpsc::Sender<Vec<u8>>) -> Self {
        Self { sender }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.sender.blocking_send(bytes.to_vec());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let (sender, receiver) = pieces();
        let writer = std::thread::spawn(move || {
            let mut writer = PieceWriter::new(sender);
            for piece in [&b"ab"[..], b"c", b"def"] {
                writer.write_all(piece).unwrap();
            }
        });
        let mut text = String::new();
        PieceReader::new(receiver).read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "abcdef");
    }

    #[test]
    fn writing_to_nobody_fails() {
        let (sender, receiver) = pieces();
        drop(receiver);
        let error = PieceWriter::new(sender).write(b"a").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
