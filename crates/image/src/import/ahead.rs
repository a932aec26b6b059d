//! Decompression in a thread of its own, some buffers ahead of the conversion, and in another the digest of what was decompressed, behind it.

use std::io::{self, Read};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::decompress;
use crate::digest::Digest;

/// What is passed on at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Buffers that wait for the conversion.
const BUFFERS_WAITING_MAX: usize = 4;

/// What became of a blob. It has been read to its end, unless that failed.
pub(super) struct Blob<R> {
    /// What it was read from.
    pub reader: R,
    /// Whether its compression is known.
    pub opened: io::Result<()>,
    /// Whether it could be read to its end.
    pub drained: io::Result<()>,
}

/// Gives what `blob` decompresses to to `read`, as a stream, and digests it as far as it is read. What `read` leaves of it, or cannot
/// be decompressed, is read all the same: a digest tells of all of a blob.
pub(super) fn decompress<R: Read + Send, T>(
    blob: R,
    read: impl FnOnce(&mut dyn Read) -> T,
) -> io::Result<(T, Digest, Blob<R>)> {
    thread::scope(|scope| {
        let (full, filled) = mpsc::sync_channel(BUFFERS_WAITING_MAX);
        let (done, undigested) = mpsc::sync_channel(BUFFERS_WAITING_MAX);
        let (empty, emptied) = mpsc::channel();
        let named = |name: &str| thread::Builder::new().name(name.into());
        let digester = named("digest").spawn_scoped(scope, move || digest(&undigested, &empty))?;
        let worker = named("decompress").spawn_scoped(scope, move || work(blob, &full, &emptied))?;
        let mut stream = Ahead {
            filled,
            done,
            buffer: Vec::new(),
            read_bytes: 0,
        };
        let result = read(&mut stream);
        // Tells the threads that nobody reads on.
        drop(stream);
        let blob = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let digest = digester.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((result, digest, blob))
    })
}

/// Digests buffers that were read, and gives them back.
fn digest(undigested: &Receiver<Vec<u8>>, empty: &mpsc::Sender<Vec<u8>>) -> Digest {
    let mut digest = Sha256::new();
    for buffer in undigested {
        digest.update(&buffer);
        // The thread that decompresses may have ended.
        let _ = empty.send(buffer);
    }
    digest.into()
}

fn work<R: Read>(mut reader: R, full: &SyncSender<io::Result<Vec<u8>>>, emptied: &Receiver<Vec<u8>>) -> Blob<R> {
    let opened = decompress::open(&mut reader).map(|mut plain| {
        loop {
            let mut buffer = emptied.try_recv().unwrap_or_default();
            let filled = fill(&mut plain, &mut buffer);
            let is_last = !matches!(filled, Ok(count) if count > 0);
            // The conversion knows best why it reads no more.
            if full.send(filled.map(|_| buffer)).is_err() || is_last {
                return;
            }
        }
    });
    let drained = io::copy(&mut reader, &mut io::sink()).map(drop);
    Blob {
        reader,
        opened,
        drained,
    }
}

/// Fills all of a buffer, but for the last one.
fn fill(plain: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.resize(BUFFER_BYTES, 0);
    let mut filled = 0;
    while filled < BUFFER_BYTES {
        match plain.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    Ok(filled)
}

/// The decompressed stream. It ends with an empty buffer.
struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    done: SyncSender<Vec<u8>>,
    buffer: Vec<u8>,
    read_bytes: usize,
}

impl Read for Ahead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read_bytes == self.buffer.len() {
            // A thread without a last word has found nothing that it could decompress.
            let next = self.filled.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            let done = std::mem::replace(&mut self.buffer, next);
            self.read_bytes = 0;
            self.done.send(done).map_err(io::Error::other)?;
        }
        let count = out.len().min(self.buffer.len() - self.read_bytes);
        out[..count].copy_from_slice(&self.buffer[self.read_bytes..self.read_bytes + count]);
        self.read_bytes += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_blob_comes_through() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * BUFFER_BYTES + 17).collect();
        let compressed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        let read = |stream: &mut dyn Read| {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).map(|_| read)
        };
        let (read, digest, blob) = decompress(compressed.as_slice(), read).unwrap();
        assert_eq!(read.unwrap(), bytes);
        assert_eq!(digest, Digest::of(&bytes));
        assert!(blob.reader.is_empty() && blob.opened.is_ok() && blob.drained.is_ok());
    }

    #[test]
    fn what_is_not_wanted_is_read_all_the_same() {
        for bytes in [vec![b'x'; 20 * BUFFER_BYTES], b"BZh91AY&SY".to_vec()] {
            let ((), _, blob) = decompress(bytes.as_slice(), |_| ()).unwrap();
            assert!(blob.reader.is_empty());
            assert_eq!(blob.opened.is_ok(), bytes[0] == b'x');
        }
    }

    #[test]
    fn damage_is_told_to_the_reader() {
        let mut compressed = zstd::encode_all([b'x'; 1000].as_slice(), 1).unwrap();
        compressed.truncate(compressed.len() - 1);
        let (read, ..) = decompress(compressed.as_slice(), |stream| io::copy(stream, &mut io::sink())).unwrap();
        assert!(read.is_err());
    }
}
