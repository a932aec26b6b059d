//! The data disk: a sparse file with an ext4 in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::options::DataDisk;

const FORMATTER: &str = "/sbin/mke2fs";

/// The disk cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be created or written.
    #[error("cannot create the machine's data disk {}", path.display())]
    Io {
        /// The disk's file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system cannot be made.
    #[error("cannot make a file system on the machine's data disk {}: {reason}", path.display())]
    Format {
        /// The disk's file.
        path: PathBuf,
        /// The formatter's words.
        reason: String,
    },
}

/// Makes the disk if there is none, whole or not at all. Whoever else makes it at the same time, one is made and kept.
pub fn create(disk: &DataDisk) -> Result<(), DiskError> {
    if disk.path.exists() {
        return Ok(());
    }
    let failed = |source| DiskError::Io {
        path: disk.path.clone(),
        source,
    };
    let directory = disk.path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(failed)?;
    let file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let bytes = disk
        .size_mib
        .checked_mul(1 << 20)
        .ok_or_else(|| failed(io::ErrorKind::FileTooLarge.into()))?;
    file.as_file().set_len(bytes).map_err(failed)?;
    format(file.path()).map_err(|reason| DiskError::Format {
        path: disk.path.clone(),
        reason,
    })?;
    match file.persist_noclobber(&disk.path) {
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        persisted => persisted.map(drop).map_err(|error| failed(error.error)),
    }
}

fn format(path: &Path) -> Result<(), String> {
    // The kernel writes the rest of the tables when it has time.
    let made = Command::new(FORMATTER)
        .args([
            "-q",
            "-F",
            "-t",
            "ext4",
            "-m",
            "0",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1",
        ])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {FORMATTER}: {error}"))?;
    if made.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&made.stderr).trim_end().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_disk_is_made_once_and_takes_little_space() {
        let directory = tempfile::tempdir().unwrap();
        let disk = DataDisk {
            path: directory.path().join("below/data.raw"),
            size_mib: 8192,
        };
        create(&disk).unwrap();
        let made = fs::metadata(&disk.path).unwrap();
        assert_eq!(made.len(), 8192 << 20);
        assert!(made.blocks() * 512 < 64 << 20, "{} blocks", made.blocks());
        create(&disk).unwrap();
        assert_eq!(fs::metadata(&disk.path).unwrap().ino(), made.ino());
    }

    #[test]
    fn a_disk_that_cannot_be_made_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let disk = DataDisk {
            path: directory.path().join("data.raw"),
            size_mib: 0,
        };
        assert!(matches!(create(&disk), Err(DiskError::Format { .. })));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
