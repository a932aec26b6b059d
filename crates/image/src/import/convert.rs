//! One layer from its blob's bytes to its place in the store. Blocks.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::{ImportError, ahead};
use crate::digest::{self, Digest, DigestError, HashingReader};
use crate::erofs;
use crate::index;
use crate::layer;
use crate::manifest::Descriptor;
use crate::progress::{Event, PROGRESS_STEP_BYTES, Progress};
use crate::store::Inner;
use crate::store::files::{Area, FileError, is_full};
use crate::store::seal;

/// The blob's name in a working directory.
const BLOB: &str = "blob";

/// A layer on its way.
pub(super) struct Layer {
    pub inner: Arc<Inner>,
    pub blob: Descriptor,
    pub diff_id: Digest,
    pub budget: Arc<Budget>,
    pub progress: Progress,
    pub cancel: CancellationToken,
}

/// Converts the blob while it is read, checks it, and publishes the layer. Nothing is published before the blob's digest
/// and size, and the layer's diff ID, are right.
pub(super) fn convert(layer: &Layer, reader: impl Read + Send) -> Result<(), ImportError> {
    let files = &layer.inner.files;
    let work = files.work()?;
    let (data_path, index_path) = (work.path().join("data"), work.path().join("index"));
    let mut data = seal::create(&data_path).map_err(files.failed("create", &data_path))?;
    let kept = kept_blob(layer, &work)?;
    let told = HashingReader::new(Told {
        reader,
        layer,
        kept: kept.as_ref(),
        read_bytes: 0,
    });
    let converted = ahead::decompress(told, |stream| convert_stream(stream, &mut data, &index_path, layer));
    let (converted, diff_id, blob) = converted.map_err(ImportError::Spawn)?;
    let converted = match blob.opened {
        Ok(()) => converted,
        Err(source) => Err(ImportError::Compression {
            layer: layer.blob.digest,
            source,
        }),
    };
    if converted.as_ref().is_err_and(|error| is_full(error)) {
        return Err(FileError::Full {
            path: files.root().into(),
        }
        .into());
    }
    // After a failure, whether the blob was damaged on the way or made badly is told by its digest.
    if blob.drained.is_ok() {
        digest::verify_result(blob.reader.finish(), layer.blob.digest, layer.blob.size_bytes).map_err(|source| {
            ImportError::LayerDamaged {
                layer: layer.blob.digest,
                source,
            }
        })?;
    }
    converted?;
    blob.drained.map_err(|source| ImportError::Compression {
        layer: layer.blob.digest,
        source,
    })?;
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
    seal::close(work.path(), &["data", "index"]).map_err(files.failed("write", work.path()))?;
    if let Some(kept) = kept {
        publish_blob(layer, &work, &kept)?;
    }
    Ok(files.publish(work, &files.path(Area::Layers, layer.diff_id))?)
}

/// Reads the blob of a layer that is stored already, to keep it.
pub(super) fn keep(layer: &Layer, reader: impl Read) -> Result<(), ImportError> {
    let work = layer.inner.files.work()?;
    let Some(kept) = kept_blob(layer, &work)? else {
        return Ok(());
    };
    let mut told = HashingReader::new(Told {
        reader,
        layer,
        kept: Some(&kept),
        read_bytes: 0,
    });
    let read = io::copy(&mut told, &mut io::sink());
    read.map_err(layer.inner.files.failed("write", &work.path().join(BLOB)))?;
    digest::verify_result(told.finish(), layer.blob.digest, layer.blob.size_bytes).map_err(|source| {
        ImportError::LayerDamaged {
            layer: layer.blob.digest,
            source,
        }
    })?;
    publish_blob(layer, &work, &kept)
}

/// Where the blob goes while it is read, unless blobs are not kept.
fn kept_blob(layer: &Layer, work: &TempDir) -> Result<Option<File>, ImportError> {
    if !layer.inner.keeps_blobs {
        return Ok(None);
    }
    let path = work.path().join(BLOB);
    Ok(Some(
        seal::create(&path).map_err(layer.inner.files.failed("create", &path))?,
    ))
}

fn publish_blob(layer: &Layer, work: &TempDir, kept: &File) -> Result<(), ImportError> {
    let (files, path) = (&layer.inner.files, work.path().join(BLOB));
    kept.sync_all().map_err(files.failed("write", &path))?;
    Ok(files.publish_file(&path, &files.path(Area::Blobs, layer.blob.digest))?)
}

/// Makes data file and index of the uncompressed stream.
fn convert_stream(stream: &mut dyn Read, data: &mut File, index: &Path, layer: &Layer) -> Result<(), ImportError> {
    let files = &layer.inner.files;
    let mut writer = index::Writer::new(seal::create(index).map_err(files.failed("create", index))?);
    let mut plain = layer.budget.metered(stream, layer.blob.size_bytes);
    let keep = |entry| {
        layer.budget.take_files(1)?;
        writer.push(entry)
    };
    let converted = layer::convert(&mut plain, data, &layer.inner.limits, Some(erofs::packed_head), keep);
    layer.budget.check()?;
    let digest = layer.blob.digest;
    if plain.has_exploded {
        let limit = layer.inner.limits.image_expansion;
        return Err(ImportError::Expansion { layer: digest, limit });
    }
    let data_blocks = converted.map_err(|source| ImportError::Layer { layer: digest, source })?;
    let written = writer.finish(data_blocks).map(drop);
    Ok(written.map_err(files.failed("write", index))?)
}

/// Tells how far a blob has been read.
struct Told<'a, R> {
    reader: R,
    layer: &'a Layer,
    /// What is read is also written here.
    kept: Option<&'a File>,
    read_bytes: u64,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.layer.cancel.is_cancelled() {
            return Err(io::Error::other(ImportError::Cancelled));
        }
        let count = self.reader.read(buffer)?;
        if let Some(mut kept) = self.kept {
            kept.write_all(&buffer[..count])?;
        }
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
