//! The cgroup of a container: its limits, and what they did to it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::failure::{Attempt, StepError};
use crate::kernel_log;

/// A container's own cgroup. It goes when the microVM goes.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    memory_high: File,
    memory_max: File,
    pids_max: File,
    /// What [`Self::memory_high`] says, in bytes; nothing where it says "max".
    high: Option<u64>,
}

impl Cgroup {
    /// Makes a cgroup of this name below `root`, without limits.
    ///
    /// A process that the memory limit kills does not take the others with it (`memory.oom.group` stays off): as in Docker, a
    /// container lives as long as its first process.
    ///
    /// # Errors
    /// The kernel's.
    pub fn create(root: &Path, name: &str) -> Result<Self, StepError> {
        let path = root.join(name);
        fs::create_dir(&path).attempting(|| format!("create {}", path.display()))?;
        let open = |file: &str| {
            let path = path.join(file);
            let opened = File::options().write(true).open(&path);
            opened.attempting(|| format!("open {}", path.display()))
        };
        Ok(Self {
            directory: File::open(&path).attempting(|| format!("open {}", path.display()))?,
            memory_high: open("memory.high")?,
            memory_max: open("memory.max")?,
            pids_max: open("pids.max")?,
            high: None,
            path,
        })
    }

    /// Limits its memory in bytes, and its number of processes and threads.
    ///
    /// # Errors
    /// The kernel's.
    pub fn limit(&mut self, memory_bytes_max: Option<u64>, pids_max: Option<u64>) -> Result<(), StepError> {
        for (name, file, limit) in [
            ("memory.max", &mut self.memory_max, memory_bytes_max),
            ("pids.max", &mut self.pids_max, pids_max),
        ] {
            if let Some(limit) = limit {
                let written = file.write_all(limit.to_string().as_bytes());
                written.attempting(|| format!("write {limit} to {name} of {}", self.path.display()))?;
            }
        }
        Ok(())
    }

    /// Slows its processes down when they use more than `bytes` of memory; with none, no more.
    ///
    /// # Errors
    /// The kernel's.
    pub fn slow_down_above(&mut self, bytes: Option<u64>) -> Result<(), StepError> {
        if bytes == self.high {
            return Ok(());
        }
        let value = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
        let written = self.memory_high.write_all(value.as_bytes());
        written.attempting(|| format!("write {value} to memory.high of {}", self.path.display()))?;
        self.high = bytes;
        Ok(())
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

    /// What a cgroup without limits has.
    fn cgroup() -> (tempfile::TempDir, Cgroup) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("c");
        fs::create_dir(&path).unwrap();
        let open = |name: &str| File::options().create(true).append(true).open(path.join(name)).unwrap();
        let cgroup = Cgroup {
            directory: File::open(&path).unwrap(),
            memory_high: open("memory.high"),
            memory_max: open("memory.max"),
            pids_max: open("pids.max"),
            high: None,
            path: path.clone(),
        };
        (root, cgroup)
    }

    #[test]
    fn only_kills_count() {
        assert_eq!(kills("low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 1\n"), 2);
        assert_eq!(kills("low 0\nmax 41\noom 3\noom_kill 0\n"), 0);
        assert_eq!(kills(""), 0);
    }

    #[test]
    fn what_has_no_limit_is_not_written() {
        let (root, mut cgroup) = cgroup();
        cgroup.limit(Some(4096), None).unwrap();
        let read = |name: &str| fs::read_to_string(root.path().join("c").join(name)).unwrap();
        assert_eq!((read("memory.max").as_str(), read("pids.max").as_str()), ("4096", ""));
    }

    #[test]
    fn what_slows_down_is_written_when_it_changes() {
        let (root, mut cgroup) = cgroup();
        for bytes in [Some(1), Some(1), Some(2), None, None] {
            cgroup.slow_down_above(bytes).unwrap();
        }
        assert_eq!(fs::read_to_string(root.path().join("c/memory.high")).unwrap(), "12max");
    }
}
