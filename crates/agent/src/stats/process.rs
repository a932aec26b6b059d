//! What the kernel tells of one process under `/proc`.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::files::{StatsError, if_there, read_if_there};
use super::mappings::{self, Mapped};

/// The bits that the link of an open file has where the file is open for both (proc_pid_fd(5)).
const READ_AND_WRITE: u32 = 0o600;

/// The unit of a file's blocks, in bytes (stat(3type)).
const BLOCK_BYTES: u64 = 512;

/// What one process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Its memory.
    pub mapped: Mapped,
    /// The blocks of the files that it has open for reading and writing, in bytes: of a VMM these are the disks that a guest may write.
    pub disk_bytes: u64,
}

/// What the process of `directory` takes; `None` where it has ended.
pub fn footprint(directory: &Path) -> Result<Option<Footprint>, StatsError> {
    // One that has ended, but was not waited for, has no mappings any more.
    let text = read_if_there(&directory.join("smaps"))?.filter(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    Ok(Some(Footprint {
        mapped: mappings::add_up(&text),
        disk_bytes: disk_bytes(&directory.join("fd"))?,
    }))
}

/// The blocks of the regular files that are open for reading and writing, nameless ones as well; each file once.
fn disk_bytes(descriptors: &Path) -> Result<u64, StatsError> {
    let Some(entries) = if_there(descriptors, fs::read_dir(descriptors))? else {
        return Ok(0);
    };
    let mut seen = HashSet::new();
    let mut blocks = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        // A descriptor that was closed meanwhile has nothing to tell.
        let (Ok(link), Ok(file)) = (fs::symlink_metadata(&path), fs::metadata(&path)) else {
            continue;
        };
        let is_writable = link.permissions().mode() & READ_AND_WRITE == READ_AND_WRITE;
        if is_writable && file.is_file() && seen.insert((file.dev(), file.ino())) {
            blocks += file.blocks();
        }
    }
    Ok(blocks * BLOCK_BYTES)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::process::Command;

    use super::*;

    #[test]
    fn files_that_are_written_count_once_and_files_that_are_read_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, image) = (directory.path().join("disk"), directory.path().join("image"));
        for path in [&disk, &image] {
            let mut file = File::create(path).unwrap();
            file.write_all(&[7; 64 << 10]).unwrap();
            file.sync_all().unwrap();
        }
        let open = |path| File::options().read(true).write(true).open(path).unwrap();
        let mut child = Command::new("sleep")
            .arg("infinity")
            .stdin(open(&disk))
            .stdout(open(&disk))
            .stderr(File::open(&image).unwrap())
            .spawn()
            .unwrap();
        let found = footprint(Path::new(&format!("/proc/{}", child.id())));
        child.kill().unwrap();
        child.wait().unwrap();
        let blocks = fs::metadata(&disk).unwrap().blocks();
        assert_eq!(found.unwrap().unwrap().disk_bytes, blocks * BLOCK_BYTES);
    }

    #[test]
    fn a_process_that_is_not_there_is_no_failure() {
        assert_eq!(footprint(Path::new("/proc/4194305")).unwrap(), None);
    }
}
