//! Rootfs snapshots of stored images: built when first asked for, then kept as long as an image has these layers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Area, FileError};
use super::holds::Hold;
use super::{Image, Inner, Store, StoreError, seal};
use crate::digest::Digest;
use crate::index::Index;
use crate::snapshot;

/// The version of what [`snapshot_id`] names: another way of building metadata needs another version.
const SNAPSHOT_VERSION: u32 = 3;

/// The files that make up a rootfs snapshot, one behind the other: a flat, read-only EROFS image.
pub struct Snapshot {
    /// The metadata, then the data of each layer that has any, lowest first.
    pub parts: Vec<Part>,
    /// Keeps the files from the sweep.
    hold: Option<Hold>,
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Whether nobody has touched the files since they were given out; where somebody has, [`Store::snapshot`] looks closer. It reads no contents.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.parts.iter().all(|part| self.inner.seals.is_known(&part.path))
    }
}

/// The files go with their last user, if nobody else needs them.
impl Drop for Snapshot {
    fn drop(&mut self) {
        self.inner.let_go(self.hold.take());
    }
}

/// A file of a snapshot. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its length, a multiple of [`crate::layer::BLOCK_BYTES`].
    pub len_bytes: u64,
}

/// The name of the rootfs snapshot of an image with these layers, lowest first. Images with the same layers share it.
#[must_use]
pub fn snapshot_id(diff_ids: &[Digest]) -> Digest {
    let mut text = format!("mote rootfs snapshot {SNAPSHOT_VERSION}\n");
    for diff_id in diff_ids {
        text.push_str(&diff_id.to_string());
        text.push('\n');
    }
    Digest::of(text.as_bytes())
}

impl Store {
    /// The rootfs snapshot of a stored image, built if it is the first time. Its files stay as long as the answer is held.
    pub async fn snapshot(&self, image: &Image) -> Result<Snapshot, StoreError> {
        let diff_ids = image.record.diff_ids();
        let id = snapshot_id(&diff_ids);
        let hold = self.inner.holds.hold(diff_ids.iter().copied().chain([id]).collect());
        // Held from here on; but it may have been removed since it was resolved.
        if !self.inner.files.path(Area::Images, image.record.digest).exists() {
            return Err(StoreError::NotFound(image.record.digest.to_string()));
        }
        let _passage = self.inner.gates.pass(id).await;
        let inner = self.inner.clone();
        let made = move || inner.make_snapshot(id, &diff_ids);
        let parts = tokio::task::spawn_blocking(made).await.map_err(StoreError::Thread)??;
        Ok(Snapshot {
            parts,
            hold: Some(hold),
            inner: self.inner.clone(),
        })
    }
}

impl Inner {
    fn make_snapshot(&self, id: Digest, diff_ids: &[Digest]) -> Result<Vec<Part>, StoreError> {
        let data = diff_ids
            .iter()
            .map(|diff_id| self.sound_part(self.files.path(Area::Layers, *diff_id).join("data")));
        let data = data.collect::<Result<Vec<_>, _>>()?;
        let metadata = self.files.path(Area::Snapshots, id).join("metadata");
        if !metadata.exists() {
            self.build_snapshot(id, diff_ids)?;
        }
        let parts = [self.sound_part(metadata)?].into_iter().chain(data);
        Ok(parts.filter(|part| part.len_bytes > 0).collect())
    }

    /// A part that is as it was stored.
    fn sound_part(&self, path: PathBuf) -> Result<Part, StoreError> {
        if self.seals.is_sound(&path).map_err(self.files.failed("check", &path))? {
            self.part(path)
        } else {
            Err(StoreError::Changed { path })
        }
    }

    /// Whether `directory` is in the store and its files `names` are as they were stored. If they are not, they are taken out of it, so
    /// that they can be stored again.
    pub(crate) fn keep_sound(&self, directory: &Path, names: &[&str]) -> Result<bool, FileError> {
        if !directory.exists() {
            return Ok(false);
        }
        for path in names.iter().map(|name| directory.join(name)) {
            if !self.seals.is_sound(&path).map_err(self.files.failed("check", &path))? {
                drop(self.files.retire(directory)?);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn part(&self, path: PathBuf) -> Result<Part, StoreError> {
        let len_bytes = fs::metadata(&path).map_err(self.files.failed("look at", &path))?.len();
        Ok(Part { path, len_bytes })
    }

    fn build_snapshot(&self, id: Digest, diff_ids: &[Digest]) -> Result<(), StoreError> {
        let mut layers = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            let directory = self.files.path(Area::Layers, *diff_id);
            let index = self.open_index(&directory.join("index"))?;
            let path = directory.join("data");
            let data = File::open(&path).map_err(self.files.failed("open", &path))?;
            layers.push((index, data, self.part(path)?.len_bytes));
        }
        let layers: Vec<_> = layers
            .iter()
            .map(|(index, data, bytes)| snapshot::Layer {
                index,
                data,
                bytes: *bytes,
            })
            .collect();
        let work = self.files.work()?;
        let path = work.path().join("metadata");
        let mut metadata = seal::create(&path).map_err(self.files.failed("create", &path))?;
        snapshot::build(&layers, &mut metadata).map_err(|error| self.full_or(error, StoreError::Snapshot))?;
        seal::close(work.path(), &["metadata"]).map_err(self.files.failed("write", &path))?;
        Ok(self.files.publish(work, &self.files.path(Area::Snapshots, id))?)
    }

    fn open_index(&self, path: &Path) -> Result<Index, StoreError> {
        let file = File::open(path).map_err(self.files.failed("open", path))?;
        let len_bytes = file.metadata().map_err(self.files.failed("look at", path))?.len();
        Index::open(Box::new(file), len_bytes, &self.limits).map_err(|source| StoreError::Index {
            path: path.into(),
            source,
        })
    }

    /// The sentence for a full disk if that is the cause, else `error` as `otherwise`.
    fn full_or<E: std::error::Error + 'static>(&self, error: E, otherwise: impl FnOnce(E) -> StoreError) -> StoreError {
        if super::files::is_full(&error) {
            self.files.failed("write", self.files.root())(io::ErrorKind::StorageFull.into()).into()
        } else {
            otherwise(error)
        }
    }
}
