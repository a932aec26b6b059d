//! A blob's download as a blocking reader: bounded in memory, resumed where it broke, stopped when nobody reads.

use std::io::{self, Read};

use bytes::Bytes;
use reqwest::StatusCode;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::RegistryError;
use super::repository::Repository;
use super::retry::{self, Outcome};
use crate::digest::Digest;

/// Chunks that may wait for the reader. A chunk is what the connection had at once, at most some hundred KiB.
const CHUNKS_WAITING_MAX: usize = 4;

/// A download that came this much further since it last broke may break as often as a new one.
const RETRIES_RENEWED_BY_BYTES: u64 = 1 << 20;

/// The download that feeds a [`BlobReader`]. Dropping it ends the download, and the reader with an error.
pub type Download = AbortOnDropHandle<Result<(), RegistryError>>;

/// The bytes of a blob, exactly as many as its descriptor says or an error. Reading blocks: not for async code.
pub struct BlobReader {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    missing_bytes: u64,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            if self.missing_bytes == 0 {
                return Ok(0);
            }
            // The download's own result says why; this error only ends the conversion.
            self.chunk = self.chunks.blocking_recv().ok_or(io::ErrorKind::UnexpectedEof)?;
            self.missing_bytes = self.missing_bytes.saturating_sub(self.chunk.len() as u64);
        }
        let count = buffer.len().min(self.chunk.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

impl Repository {
    /// Starts the download of a blob of `size_bytes`. Its digest is the reader's owner to check.
    pub fn open_blob(&self, digest: Digest, size_bytes: u64) -> (BlobReader, Download) {
        let (sender, chunks) = mpsc::channel(CHUNKS_WAITING_MAX);
        let pump = Pump {
            repository: self.clone(),
            digest,
            size_bytes,
            sender,
            received_bytes: 0,
        };
        let download = AbortOnDropHandle::new(tokio::spawn(pump.run()));
        (
            BlobReader {
                chunks,
                chunk: Bytes::new(),
                missing_bytes: size_bytes,
            },
            download,
        )
    }
}

struct Pump {
    repository: Repository,
    digest: Digest,
    size_bytes: u64,
    sender: mpsc::Sender<Bytes>,
    received_bytes: u64,
}

impl Pump {
    /// Downloads until all is there; what breaks on the way is resumed where it broke.
    async fn run(mut self) -> Result<(), RegistryError> {
        let mut retries = 0;
        loop {
            let received_before = self.received_bytes;
            let Err(error) = self.pass().await else { return Ok(()) };
            if self.received_bytes >= received_before + RETRIES_RENEWED_BY_BYTES {
                retries = 0;
            }
            let may_pass = matches!(error, RegistryError::Truncated { .. })
                || matches!(&error, RegistryError::Network { source, .. } if source.is_body() || source.is_decode() || source.is_timeout());
            let pause = retry::pause(Outcome::Broken, retries, &self.repository.patience).filter(|_| may_pass);
            tokio::time::sleep(pause.ok_or(error)?).await;
            retries += 1;
        }
    }

    /// One response's worth of bytes.
    async fn pass(&mut self) -> Result<(), RegistryError> {
        let mut response = self.repository.blob(self.digest, self.received_bytes).await?;
        // A registry that takes no ranges starts again: what is known already is skipped.
        let mut skip_bytes = if response.status() == StatusCode::PARTIAL_CONTENT {
            0
        } else {
            self.received_bytes
        };
        loop {
            let chunk = response.chunk().await.map_err(|error| self.repository.network(error))?;
            let Some(mut chunk) = chunk else { break };
            let skipped = usize::try_from(skip_bytes).unwrap_or(usize::MAX).min(chunk.len());
            skip_bytes -= skipped as u64;
            drop(chunk.split_to(skipped));
            if chunk.is_empty() {
                continue;
            }
            let received_bytes = self.received_bytes + chunk.len() as u64;
            if received_bytes > self.size_bytes {
                let registry = self.repository.registry();
                return Err(RegistryError::TooLarge {
                    registry,
                    what: "the layer",
                    bytes_max: self.size_bytes,
                });
            }
            self.received_bytes = received_bytes;
            if self.sender.send(chunk).await.is_err() {
                // The reader gave up and says itself why.
                return Ok(());
            }
        }
        if self.received_bytes < self.size_bytes {
            let (received_bytes, expected_bytes) = (self.received_bytes, self.size_bytes);
            return Err(RegistryError::Truncated {
                digest: self.digest,
                received_bytes,
                expected_bytes,
            });
        }
        Ok(())
    }
}
