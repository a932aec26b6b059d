//! How much space files take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the kernel counts blocks of files in (stat(2)).
const BLOCK_BYTES: u64 = 512;

/// What all files below `path` take on their disk, or in memory, and how many there are. What cannot be looked at takes nothing.
pub fn used(path: &Path) -> (u64, u64) {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return (0, 0);
    };
    let own_bytes = metadata.blocks() * BLOCK_BYTES;
    if !metadata.is_dir() {
        return (own_bytes, 1);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.fold((own_bytes, 0), |(bytes, count), entry| {
        let (more_bytes, more) = used(&entry.path());
        (bytes + more_bytes, count + more)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn holes_take_no_space() {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(directory.path().join("sparse")).unwrap();
        file.set_len(1 << 30).unwrap();
        let (bytes, count) = super::used(directory.path());
        assert!(bytes < 1 << 20);
        assert_eq!(count, 1);
        assert_eq!(super::used(&directory.path().join("nothing")), (0, 0));
    }
}
