//! Frees what no image needs and nobody holds.

use std::collections::HashSet;

use super::files::Area;
use super::{Inner, StoreError};
use crate::digest::Digest;
use crate::store::snapshot::snapshot_id;

impl Inner {
    /// Marks what the images need, then removes the rest. What a running pull or a snapshot in use holds stays.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        // While names are locked, no image appears whose layers were not marked.
        let names = self.names();
        let mut needed: HashSet<(Area, Digest)> = HashSet::new();
        for digest in self.files.digests(Area::Images)? {
            let record = self.record(digest)?;
            needed.extend([(Area::Blobs, digest), (Area::Blobs, record.config_digest)]);
            needed.insert((Area::Snapshots, snapshot_id(&record.diff_ids())));
            needed.extend(record.layers.iter().map(|layer| (Area::Layers, layer.diff_id)));
        }
        let mut retired = Vec::new();
        for part in [Area::Snapshots, Area::Layers, Area::Blobs] {
            for digest in self.files.digests(part)? {
                if !needed.contains(&(part, digest)) {
                    let path = self.files.path(part, digest);
                    retired.extend(
                        self.holds
                            .unless_held(&digest, || self.files.retire(&path))
                            .transpose()?,
                    );
                }
            }
        }
        // Freeing large files takes time, for which nobody need wait.
        drop(names);
        drop(retired);
        Ok(())
    }
}
