//! Rootfs snapshots of stored images.

use crate::digest::Digest;

/// The version of what [`snapshot_id`] names: another way of building metadata needs another version.
const SNAPSHOT_VERSION: u32 = 1;

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
