//! An image's layers into the store, several at a time, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;

use super::budget::Budget;
use super::convert::{self, Layer};
use super::resolve::{Blobs, Resolved};
use super::{ImportError, blocking};
use crate::digest::Digest;
use crate::index;
use crate::manifest::Descriptor;
use crate::progress::{Event, LayerSummary, Progress};
use crate::store::Inner;
use crate::store::files::Area;
use crate::store::record::StoredLayer;

/// The most layers of one image that are fetched and converted at a time.
pub const LAYERS_AT_ONCE_MAX: usize = 3;

/// Brings into the store what it lacks of the image's layers. They must be held.
pub(super) async fn fetch(
    inner: &Arc<Inner>,
    blobs: &Blobs,
    resolved: &Resolved,
    progress: &Progress,
) -> Result<Vec<StoredLayer>, ImportError> {
    let layers: Vec<_> = resolved
        .manifest
        .layers
        .iter()
        .zip(resolved.config.diff_ids.iter().copied())
        .collect();
    // In the manifest's order, so that people see what they know.
    let mut seen = BTreeSet::new();
    let ordered: Vec<(&Descriptor, Digest)> = layers
        .iter()
        .copied()
        .filter(|(blob, diff_id)| seen.insert((*diff_id, blob.digest)))
        .collect();
    let summaries = ordered
        .iter()
        .map(|(blob, _)| LayerSummary {
            digest: blob.digest,
            size_bytes: blob.size_bytes,
        })
        .collect();
    progress.tell(Event::Resolved {
        digest: resolved.digest,
        layers: summaries,
    });
    let cancel = CancellationToken::new();
    // Also when this future is dropped, no thread goes on for nobody.
    let _guard = cancel.clone().drop_guard();
    let budget = Arc::new(Budget::new(&inner.limits));
    let wide = tokio::sync::Mutex::new(());
    let fetch = Fetch {
        inner,
        budget: &budget,
        wide: &wide,
        blobs,
        progress,
        cancel: &cancel,
    };
    // Collected, for a stream that keeps the closure would keep this future from being sent between threads.
    let fetches: Vec<_> = ordered
        .into_iter()
        .map(|(blob, diff_id)| fetch.layer(blob, diff_id))
        .collect();
    let mut fetches = std::pin::pin!(stream::iter(fetches).buffer_unordered(LAYERS_AT_ONCE_MAX));
    let mut stored = BTreeMap::new();
    let mut failure = None;
    // After a failure the others are only waited for: once this returns, nothing more is published.
    while let Some(result) = fetches.next().await {
        match result {
            Ok((diff_id, stored_bytes)) => drop(stored.insert(diff_id, stored_bytes)),
            Err(error) => {
                cancel.cancel();
                failure.get_or_insert(error);
            }
        }
    }
    if let Some(error) = failure {
        return Err(error);
    }
    let record = |(blob, diff_id): (&Descriptor, Digest)| StoredLayer {
        diff_id,
        blob: blob.digest,
        blob_bytes: blob.size_bytes,
        stored_bytes: stored.get(&diff_id).copied().unwrap_or_default(),
    };
    Ok(layers.into_iter().map(record).collect())
}

/// What is done with a layer's blob.
type Work = fn(&Layer, Box<dyn Read + Send>) -> Result<(), ImportError>;

/// What the fetches of one image's layers share.
struct Fetch<'a> {
    inner: &'a Arc<Inner>,
    budget: &'a Arc<Budget>,
    /// Held while a zstd layer is decompressed, whose window may take much memory.
    wide: &'a tokio::sync::Mutex<()>,
    blobs: &'a Blobs,
    progress: &'a Progress,
    cancel: &'a CancellationToken,
}

impl Fetch<'_> {
    /// Brings one layer into the store, unless it is there or somebody else is bringing it. Answers its size there.
    async fn layer(&self, blob: &Descriptor, diff_id: Digest) -> Result<(Digest, u64), ImportError> {
        let files = &self.inner.files;
        let _passage = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(ImportError::Cancelled),
            passage = self.inner.gates.pass(diff_id) => passage,
        };
        let path = files.path(Area::Layers, diff_id);
        let (inner, directory) = (self.inner.clone(), path.clone());
        let is_stored = blocking(move || inner.keep_sound(&directory, &["data", "index"])).await??;
        if is_stored && (!self.inner.keeps_blobs || files.path(Area::Blobs, blob.digest).exists()) {
            self.charge(&path)?;
            self.progress.tell(Event::LayerExists { digest: blob.digest });
        } else {
            self.progress.tell(Event::LayerStarted {
                digest: blob.digest,
                total_bytes: blob.size_bytes,
            });
            let work = if is_stored { convert::keep } else { convert::convert };
            self.bring(blob, diff_id, work).await?;
            self.progress.tell(Event::LayerDone { digest: blob.digest });
        }
        let stored_bytes = self.file_bytes(&path.join("data"))? + self.file_bytes(&path.join("index"))?;
        Ok((diff_id, stored_bytes))
    }

    /// Takes a layer that needs no conversion from the image's budget.
    fn charge(&self, path: &Path) -> Result<(), ImportError> {
        let files = &self.inner.files;
        let index = path.join("index");
        let counted = File::open(&index).and_then(|file| index::entries_len(&file, file.metadata()?.len()));
        let entries = counted.map_err(files.failed("read", &index))?;
        let taken = self.budget.take_files(entries);
        let taken = taken.and(self.budget.take_bytes(self.file_bytes(&path.join("data"))?));
        // It says itself what there is too much of.
        taken.or_else(|_| self.budget.check())
    }

    fn file_bytes(&self, path: &Path) -> Result<u64, ImportError> {
        let files = &self.inner.files;
        Ok(fs::metadata(path).map_err(files.failed("look at", path))?.len())
    }

    async fn bring(&self, blob: &Descriptor, diff_id: Digest, work: Work) -> Result<(), ImportError> {
        let is_wide = blob.media_type.ends_with("zstd");
        let _alone = if is_wide { Some(self.wide.lock().await) } else { None };
        let (reader, mut download): (Box<dyn Read + Send>, _) = match self.blobs {
            Blobs::Registry(repository) => {
                let (reader, download) = repository.open_blob(blob.digest, blob.size_bytes);
                (Box::new(reader), Some(download))
            }
            Blobs::Local(blobs) => (Box::new(blobs.open(blob)?), None),
        };
        let layer = Layer {
            inner: self.inner.clone(),
            blob: blob.clone(),
            diff_id,
            budget: self.budget.clone(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
        };
        let mut conversion = tokio::task::spawn_blocking(move || work(&layer, reader));
        let converted = tokio::select! {
            converted = &mut conversion => converted,
            () = self.cancel.cancelled() => {
                // Wakes a conversion that waits for bytes.
                download = None;
                conversion.await
            }
        };
        let converted = converted.map_err(ImportError::Thread)?;
        if let (Err(_), Some(download)) = (&converted, download) {
            // The conversion may only know that its input ended; the download knows why.
            download.await.map_err(ImportError::Thread)??;
        }
        converted
    }
}
