//! The cgroup of a container: its limits, and what they did to it.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use protocol::guest::{Container, Usage};

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

    /// Gives it the limits and shares of a container.
    ///
    /// # Errors
    /// The kernel's.
    pub fn limit(&mut self, container: &Container) -> Result<(), StepError> {
        for (name, file, limit) in [
            ("memory.max", &mut self.memory_max, container.memory_bytes_max),
            ("pids.max", &mut self.pids_max, container.pids_max),
        ] {
            if let Some(limit) = limit {
                let written = file.write_all(limit.to_string().as_bytes());
                written.attempting(|| format!("write {limit} to {name} of {}", self.path.display()))?;
            }
        }
        self.share(container)
    }

    /// What is asked for less often, each in a file that is opened for it.
    fn share(&self, container: &Container) -> Result<(), StepError> {
        let shares = [
            ("memory.low", container.memory_bytes_low),
            ("cpu.weight", container.cpu_weight.map(u64::from)),
        ];
        for (name, share) in shares {
            if let Some(share) = share {
                let path = self.path.join(name);
                fs::write(&path, share.to_string()).attempting(|| format!("write {share} to {}", path.display()))?;
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

    /// How many processes of this cgroup the kernel has killed for want of memory.
    pub fn memory_kills(&self) -> u64 {
        match fs::read_to_string(self.path.join("memory.events")) {
            Ok(events) => value(&events, "oom_kill"),
            Err(error) => {
                kernel_log::warn(&format!(
                    "cannot read the memory events of {}: {error}",
                    self.path.display()
                ));
                0
            }
        }
    }

    /// What it uses; what cannot be read counts as nothing.
    pub fn usage(&self, container: &str) -> Usage {
        let read = |file: &str| fs::read_to_string(self.path.join(file)).unwrap_or_default();
        let number = |file: &str| read(file).trim().parse().unwrap_or(0);
        let cpu = read("cpu.stat");
        let (read_bytes, written_bytes) = moved(&read("io.stat"));
        Usage {
            container: container.to_owned(),
            cpu_user_us: value(&cpu, "user_usec"),
            cpu_system_us: value(&cpu, "system_usec"),
            memory_bytes: number("memory.current"),
            memory_inactive_file_bytes: value(&read("memory.stat"), "inactive_file"),
            memory_peak_bytes: number("memory.peak"),
            pids: number("pids.current"),
            read_bytes,
            written_bytes,
            ..Usage::default()
        }
    }

    /// The processes in it, as the guest agent knows them.
    pub fn processes(&self) -> Vec<u32> {
        let listed = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The value behind `name` in a file of names and values (cgroup-v2.rst, "Flat keyed").
fn value(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// The bytes read from and written to all devices (cgroup-v2.rst, "io.stat").
fn moved(text: &str) -> (u64, u64) {
    let sum = |name: &str| {
        let values = text
            .split_whitespace()
            .filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    };
    (sum("rbytes"), sum("wbytes"))
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
        let kills = |events: &str| value(events, "oom_kill");
        assert_eq!(kills("low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 1\n"), 2);
        assert_eq!(kills("low 0\nmax 41\noom 3\noom_kill 0\n"), 0);
        assert_eq!(kills(""), 0);
    }

    #[test]
    fn all_devices_count() {
        let text = "254:0 rbytes=4096 wbytes=1 rios=1 wios=0 dbytes=0 dios=0\n254:16 rbytes=10 wbytes=2\n";
        assert_eq!(moved(text), (4106, 3));
        assert_eq!(moved(""), (0, 0));
    }

    #[test]
    fn what_has_no_limit_is_not_written() {
        let (root, mut cgroup) = cgroup();
        let mut container = crate::container::report::sample().container.into_owned();
        container.memory_bytes_max = Some(4096);
        container.pids_max = None;
        container.cpu_weight = Some(7);
        cgroup.limit(&container).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("c/cpu.weight")).unwrap(), "7");
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
