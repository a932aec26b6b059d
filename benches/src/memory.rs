//! What processes and the kernel take of the host's memory, as `/proc` and `/sys/fs/cgroup` tell it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The proportional part of a process's memory, in bytes: its private pages, and of each shared page a fair part.
pub fn proportional_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    kib_field(&text, "Pss:").with_context(|| format!("{path} tells no proportional size"))
}

/// What one process has in memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resident {
    /// All of it.
    pub all: u64,
    /// What no other process has as well.
    pub private: u64,
}

/// What a process has in memory.
pub fn resident(process: u32) -> Result<Resident> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    parse_resident(&text).with_context(|| format!("{path} does not tell what is in memory"))
}

fn parse_resident(text: &str) -> Option<Resident> {
    Some(Resident {
        all: kib_field(text, "Rss:")?,
        private: kib_field(text, "Private_Clean:")? + kib_field(text, "Private_Dirty:")?,
    })
}

/// The memory that can be had without swapping, in bytes.
pub fn available_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    kib_field(&text, "MemAvailable:").context("/proc/meminfo tells no available memory")
}

/// What the kernel holds for the processes of `process`'s control group, in bytes: page tables, KVM's among them, stacks, objects.
pub fn kernel_bytes(process: u32) -> Result<u64> {
    let path = control_group(process)?.join("memory.stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix("kernel ")?.parse().ok());
    value.with_context(|| format!("{} does not tell what the kernel holds", path.display()))
}

/// The processes of that name whose parent is `parent`.
pub fn children(parent: u32, name: &str) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let path = entry.context("cannot list /proc")?.path();
        let process = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        // A process may be gone by now.
        let (Some(process), Ok(status)) = (process, fs::read_to_string(path.join("stat"))) else {
            continue;
        };
        if is_child(&status, parent, name) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Reads `/proc/PID/stat`: `PID (name) state parent …`, where a name may hold anything.
fn is_child(stat: &str, parent: u32, name: &str) -> bool {
    let parts = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    parts.is_some_and(|(comm, rest)| comm == name && rest.split_whitespace().nth(1) == Some(&parent.to_string()))
}

/// The control group of a process.
pub fn control_group(process: u32) -> Result<PathBuf> {
    let path = format!("/proc/{process}/cgroup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(Path::new("/sys/fs/cgroup").join(group.with_context(|| format!("{path} names no control group"))?))
}

/// The value of a line `NAME VALUE kB`, in bytes.
fn kib_field(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_bytes() {
        let text = "Rss:  20 kB\nPss:       1234 kB\nPss_Dirty: 5 kB\n";
        assert_eq!(kib_field(text, "Pss:"), Some(1234 * 1024));
        assert_eq!(kib_field(text, "Swap:"), None);
    }

    #[test]
    fn what_is_private_is_told_in_two_parts() {
        let text = "Rss: 20 kB\nPrivate_Clean: 3 kB\nPrivate_Dirty: 4 kB\nPrivate_Hugetlb: 9 kB\n";
        let resident = Resident {
            all: 20 << 10,
            private: 7 << 10,
        };
        assert_eq!(parse_resident(text), Some(resident));
        assert_eq!(parse_resident("Rss: 20 kB\n"), None);
    }

    #[test]
    fn a_name_with_brackets_is_no_trap() {
        assert!(is_child("7 (mote-vmm) S 5 7 7", 5, "mote-vmm"));
        assert!(!is_child("7 (a) S 5 (mote-vmm) S 6 7", 5, "mote-vmm"));
        assert!(!is_child("7 (mote-vmm) S 6 7 7", 5, "mote-vmm"));
    }
}
