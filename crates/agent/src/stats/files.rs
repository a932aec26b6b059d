//! Files by which the kernel tells of something that may end meanwhile.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a task's figures cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct StatsError {
    path: PathBuf,
    source: io::Error,
}

/// The text at `path`; `None` where what the kernel tells of there has ended.
pub fn read_if_there(path: &Path) -> Result<Option<String>, StatsError> {
    if_there(path, fs::read_to_string(path))
}

/// What was read at `path`; `None` where what the kernel tells of there has ended.
pub fn if_there<T>(path: &Path, read: io::Result<T>) -> Result<Option<T>, StatsError> {
    match read {
        Ok(found) => Ok(Some(found)),
        // ESRCH and ENODEV where a process or cgroup goes between the opening of a file and its reading.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || matches!(Errno::from_io_error(&error), Some(Errno::SRCH | Errno::NODEV)) =>
        {
            Ok(None)
        }
        Err(source) => Err(StatsError {
            path: path.to_owned(),
            source,
        }),
    }
}
