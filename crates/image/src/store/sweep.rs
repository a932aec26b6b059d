//! Frees what no image needs and nobody holds.

use std::collections::HashSet;

use super::files::Part;
use super::{Inner, StoreError};
use crate::digest::Digest;
use crate::store::snapshot::snapshot_id;

impl Inner {
    /// Marks what the images need, then removes the rest. What a running pull or a snapshot in use holds stays.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        // While names are locked, no image appears whose layers were not marked.
        let names = self.names();
        let mut needed: HashSet<(Part, Digest)> = HashSet::new();
        for digest in self.files.digests(Part::Images)? {
            let record = self.record(digest)?;
            needed.extend([(Part::Blobs, digest), (Part::Blobs, record.config_digest)]);
            needed.insert((Part::Snapshots, snapshot_id(&record.diff_ids())));
            needed.extend(record.layers.iter().map(|layer| (Part::Layers, layer.diff_id)));
        }
        let mut retired = Vec::new();
        for part in [Part::Snapshots, Part::Layers, Part::Blobs] {
            for digest in self.files.digests(part)? {
                if !needed.contains(&(part, digest)) {
                    let path = self.files.path(part, digest);
                    retired.extend(self.holds.unless_held(&digest, || self.files.retire(&path)).transpose()?);
                }
            }
        }
        // Freeing large files takes time, for which nobody need wait.
        drop(names);
        drop(retired);
        Ok(())
    }
}
