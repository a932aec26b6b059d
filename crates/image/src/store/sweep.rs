//! Frees what no image needs and nobody holds, and tells what that is.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::files::Area;
use super::holds::Hold;
use super::record::Record;
use super::{Image, Inner, Store, StoreError};
use crate::digest::Digest;
use crate::store::snapshot::snapshot_id;

/// What the kernel counts blocks of files in (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// The parts of the store that images share.
const SHARED: [Area; 3] = [Area::Snapshots, Area::Layers, Area::Blobs];

/// What was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The images that are gone, with the names that they had.
    pub images: Vec<Image>,
    /// What they, and what was left over before, took on disk.
    pub freed_bytes: u64,
}

/// What the store takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All images, what they share counted once, and what is left over.
    pub bytes: u64,
    /// Of that, what goes if all images but the wanted ones go.
    pub reclaimable_bytes: u64,
}

impl Store {
    /// Removes the images for which `goes` says so, with all their names, and what no other image needs. What is in use
    /// stays until it is not.
    pub fn prune(&self, goes: impl Fn(&Image) -> bool) -> Result<Pruned, StoreError> {
        let mut pruned = Pruned::default();
        {
            let mut names = self.inner.names();
            let mut changed = names.clone();
            for digest in self.inner.files.digests(Area::Images)? {
                let image = self.inner.image(&names, digest)?;
                if goes(&image) {
                    changed.remove_image(digest);
                    pruned.images.push(image);
                }
            }
            self.inner.commit_names(&mut names, changed)?;
            for image in &pruned.images {
                let path = self.inner.files.path(Area::Images, image.record.digest);
                pruned.freed_bytes += used_bytes(&path);
                drop(self.inner.files.retire(&path)?);
            }
        }
        pruned.freed_bytes += self.inner.sweep()?;
        Ok(pruned)
    }

    /// What the store takes, and what of that no image for which `stays` says so needs, and nobody holds.
    pub fn usage(&self, stays: impl Fn(&Image) -> bool) -> Result<Usage, StoreError> {
        let names = self.inner.names();
        let mut needed = HashSet::new();
        let mut usage = Usage::default();
        for digest in self.inner.files.digests(Area::Images)? {
            let image = self.inner.image(&names, digest)?;
            let bytes = used_bytes(&self.inner.files.path(Area::Images, digest));
            usage.bytes += bytes;
            if stays(&image) {
                needed.extend(self.inner.needs(&image.record));
            } else {
                usage.reclaimable_bytes += bytes;
            }
        }
        for area in SHARED {
            for digest in self.inner.files.digests(area)? {
                let bytes = used_bytes(&self.inner.files.path(area, digest));
                usage.bytes += bytes;
                if !needed.contains(&(area, digest)) && !self.inner.holds.is_held(&digest) {
                    usage.reclaimable_bytes += bytes;
                }
            }
        }
        Ok(usage)
    }
}

impl Inner {
    /// Marks what the images need, then removes the rest. What a running pull or a snapshot in use holds stays. Answers
    /// what the rest took on disk.
    pub(crate) fn sweep(&self) -> Result<u64, StoreError> {
        // While names are locked, no image appears whose layers were not marked.
        let names = self.names();
        let mut needed = HashSet::new();
        for digest in self.files.digests(Area::Images)? {
            needed.extend(self.needs(&self.record(digest)?));
        }
        let mut freed_bytes = 0;
        let mut retired = Vec::new();
        for area in SHARED {
            for digest in self.files.digests(area)? {
                if needed.contains(&(area, digest)) {
                    continue;
                }
                let path = self.files.path(area, digest);
                let retire = || Ok::<_, StoreError>((used_bytes(&path), self.files.retire(&path)?));
                if let Some((bytes, grave)) = self.holds.unless_held(&digest, retire).transpose()? {
                    self.seals.forget(&path);
                    freed_bytes += bytes;
                    retired.push(grave);
                }
            }
        }
        // Freeing large files takes time, for which nobody need wait.
        drop(names);
        drop(retired);
        Ok(freed_bytes)
    }

    /// Ends a hold. What nobody else needed goes with it, or, outside an async runtime, with the next sweep.
    pub(super) fn let_go(self: &Arc<Self>, hold: Option<Hold>) {
        let is_left = hold.is_some_and(Hold::release);
        if is_left && let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inner = self.clone();
            runtime.spawn_blocking(move || inner.sweep());
        }
    }

    fn needs(&self, record: &Record) -> HashSet<(Area, Digest)> {
        let mut needed = HashSet::from([
            (Area::Blobs, record.digest),
            (Area::Blobs, record.config_digest),
            (Area::Snapshots, snapshot_id(&record.diff_ids())),
        ]);
        for layer in &record.layers {
            needed.insert((Area::Layers, layer.diff_id));
            if self.keeps_blobs {
                needed.insert((Area::Blobs, layer.blob));
            }
        }
        needed
    }
}

/// What a file, or a directory of files, takes on disk. What is just going takes nothing.
fn used_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let own_bytes = metadata.blocks() * STAT_BLOCK_BYTES;
    if !metadata.is_dir() {
        return own_bytes;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| used_bytes(&entry.path())).sum::<u64>() + own_bytes
}
