//! One layer from its blob's bytes to its place in the store. Blocks.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ImportError;
use crate::decompress;
use crate::digest::{self, Digest, DigestError, HashingReader};
use crate::index;
use crate::layer::{self, LayerError, LayerIndex};
use crate::manifest::Descriptor;
use crate::progress::{Event, PROGRESS_STEP_BYTES, Progress};
use crate::store::Inner;
use crate::store::files::{Area, FileError, is_full};

/// A layer on its way.
pub(super) struct Layer {
    pub inner: Arc<Inner>,
    pub blob: Descriptor,
    pub diff_id: Digest,
    pub progress: Progress,
    pub cancel: CancellationToken,
}

/// Why the bytes of a blob did not become a layer: what was being done.
enum Failure {
    Compression(io::Error),
    Layer(LayerError),
}

/// Converts the blob while it is read, checks it, and publishes the layer. Nothing is published before the blob's digest
/// and size, and the layer's diff ID, are right.
pub(super) fn convert(layer: &Layer, reader: impl Read) -> Result<(), ImportError> {
    let files = &layer.inner.files;
    let work = files.work()?;
    let (data_path, index_path) = (work.path().join("data"), work.path().join("index"));
    let mut data = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&data_path)
        .map_err(files.failed("create", &data_path))?;
    let mut blob = HashingReader::new(Told {
        reader,
        layer,
        read_bytes: 0,
    });
    let converted = convert_stream(&mut blob, &mut data, layer);
    if let Err(Failure::Layer(error)) = &converted
        && is_full(error)
    {
        return Err(FileError::Full {
            path: files.root().into(),
        }
        .into());
    }
    // What is behind the archive's end belongs to the blob, too. After a failure, whether the blob was damaged on the way
    // or made badly is told by its digest.
    let drained = io::copy(&mut blob, &mut io::sink());
    let damaged = |source| ImportError::LayerDamaged {
        layer: layer.blob.digest,
        source,
    };
    match (converted, drained) {
        (Ok((index, diff_id)), Ok(_)) => {
            digest::verify_result(blob.finish(), layer.blob.digest, layer.blob.size_bytes).map_err(damaged)?;
            if diff_id != layer.diff_id {
                let source = DigestError::Mismatch {
                    expected: layer.diff_id,
                    actual: diff_id,
                };
                return Err(ImportError::WrongLayer {
                    layer: layer.blob.digest,
                    source,
                });
            }
            write_index(layer, &index_path, &index)?;
            data.sync_all().map_err(files.failed("write", &data_path))?;
            files.publish(work, &files.path(Area::Layers, layer.diff_id))?;
            Ok(())
        }
        (Ok(_), Err(source)) => Err(ImportError::Compression {
            layer: layer.blob.digest,
            source,
        }),
        (Err(failure), drained) => {
            if drained.is_ok() {
                digest::verify_result(blob.finish(), layer.blob.digest, layer.blob.size_bytes).map_err(damaged)?;
            }
            Err(match failure {
                Failure::Compression(source) => ImportError::Compression {
                    layer: layer.blob.digest,
                    source,
                },
                Failure::Layer(source) => ImportError::Layer {
                    layer: layer.blob.digest,
                    source,
                },
            })
        }
    }
}

fn convert_stream(blob: impl Read, data: &mut std::fs::File, layer: &Layer) -> Result<(LayerIndex, Digest), Failure> {
    let mut plain = HashingReader::new(decompress::open(blob).map_err(Failure::Compression)?);
    let index = layer::convert(&mut plain, data, &layer.inner.limits).map_err(Failure::Layer)?;
    Ok((index, plain.finish().0))
}

fn write_index(layer: &Layer, path: &std::path::Path, index: &LayerIndex) -> Result<(), ImportError> {
    let failed = layer.inner.files.failed("write", path);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&index::encode(index))?;
        file.sync_all()
    };
    Ok(write().map_err(failed)?)
}

/// Tells how far a blob has been read.
struct Told<'a, R> {
    reader: R,
    layer: &'a Layer,
    read_bytes: u64,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.layer.cancel.is_cancelled() {
            return Err(io::Error::other(ImportError::Cancelled));
        }
        let count = self.reader.read(buffer)?;
        let received_bytes = self.read_bytes + count as u64;
        let is_end = count > 0 && received_bytes == self.layer.blob.size_bytes;
        if is_end || received_bytes / PROGRESS_STEP_BYTES > self.read_bytes / PROGRESS_STEP_BYTES {
            self.layer.progress.tell(Event::LayerProgress {
                digest: self.layer.blob.digest,
                received_bytes,
            });
        }
        self.read_bytes = received_bytes;
        Ok(count)
    }
}
