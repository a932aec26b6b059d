//! The cgroup of a container: its limits, and what they did to it.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::failure::{Attempt, StepError};
use crate::kernel_log;

/// A container's own cgroup. It goes when the microVM goes.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
}

impl Cgroup {
    /// Makes the cgroup `name` below `root` and limits it.
    ///
    /// A process that the memory limit kills does not take the others with it (`memory.oom.group` stays off): as in Docker, a
    /// container lives as long as its first process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(
        root: &Path,
        name: &str,
        memory_bytes_max: Option<u64>,
        pids_max: Option<u64>,
    ) -> Result<Self, StepError> {
        let path = root.join(name);
        fs::create_dir(&path).attempting(|| format!("create {}", path.display()))?;
        for (file, limit) in [("memory.max", memory_bytes_max), ("pids.max", pids_max)] {
            if let Some(limit) = limit {
                let file = path.join(file);
                fs::write(&file, limit.to_string()).attempting(|| format!("write {limit} to {}", file.display()))?;
            }
        }
        let directory = File::open(&path).attempting(|| format!("open {}", path.display()))?;
        Ok(Self { path, directory })
    }

    /// Whether the kernel killed a process of this cgroup for want of memory.
    pub fn ran_out_of_memory(&self) -> bool {
        match fs::read_to_string(self.path.join("memory.events")) {
            Ok(events) => kills(&events) > 0,
            Err(error) => {
                kernel_log::warn(&format!(
                    "cannot read the memory events of {}: {error}",
                    self.path.display()
                ));
                false
            }
        }
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The number of processes killed (cgroup-v2.rst, "memory.events", `oom_kill`).
fn kills(events: &str) -> u64 {
    let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kills_count() {
        assert_eq!(kills("low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 1\n"), 2);
        assert_eq!(kills("low 0\nmax 41\noom 3\noom_kill 0\n"), 0);
        assert_eq!(kills(""), 0);
    }
}
