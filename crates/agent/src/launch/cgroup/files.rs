//! What is done to the files and directories of a cgroup v2 hierarchy.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::CgroupError;

/// How long killed processes may take to be gone.
const EMPTY_SECONDS_MAX: u64 = 10;

/// Makes a cgroup, unless there is one.
pub fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| CgroupError::Io {
            attempted: "make the cgroup",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Writes to a file that there is.
pub fn write(path: &Path, text: &str) -> Result<(), CgroupError> {
    // Not fs::write: it would create a file that is missing, where the kernel offers none.
    let written = File::options()
        .write(true)
        .open(path)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|source| CgroupError::Io {
        attempted: "write to",
        path: path.to_owned(),
        source,
    })
}

/// Removes the cgroup, and ends what runs in it where that is in the way.
pub fn remove(path: &Path) -> Result<(), CgroupError> {
    let failed = |source| CgroupError::Io {
        attempted: "remove the cgroup",
        path: path.to_owned(),
        source,
    };
    match fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            write(&path.join("cgroup.kill"), "1")?;
            wait_until_empty(path)?;
            fs::remove_dir(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn wait_until_empty(path: &Path) -> Result<(), CgroupError> {
    let events = path.join("cgroup.events");
    let failed = |source| CgroupError::Io {
        attempted: "watch",
        path: events.clone(),
        source,
    };
    let mut file = File::open(&events).map_err(failed)?;
    let deadline = Instant::now() + Duration::from_secs(EMPTY_SECONDS_MAX);
    loop {
        let mut text = String::new();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut text))
            .map_err(failed)?;
        if text.lines().any(|line| line == "populated 0") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(CgroupError::Occupied { path: path.to_owned() });
        }
        // The kernel raises POLLPRI at each change of the file (Documentation/admin-guide/cgroup-v2.rst, "Un-populated Notification").
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        poll(&mut [PollFd::new(&file, PollFlags::PRI)], Some(&timeout)).map_err(|errno| failed(errno.into()))?;
    }
}
