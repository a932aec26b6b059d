//! Memory that is plugged while the containers run, and how they are held back until it is there.

use std::fs;

use rustix::system::sysinfo;

use crate::failure::{Attempt, StepError};

/// What the kernel and the guest agent may need while memory grows, in bytes: the page structures of a block of memory (2 MiB of every 128),
/// the kernel's own reserve, and what else it allocates meanwhile.
const RESERVE_BYTES: u64 = 8 << 20;

/// The least that a container may have before it is slowed down, in bytes.
const HIGH_BYTES_MIN: u64 = 4 << 20;

/// The share of new memory that goes into its own page structures: 64 bytes of every 4096.
const PAGE_STRUCTURES: u64 = 64;

/// Below this much memory the kernel leaves huge pages off when it boots (`hugepage_init`), in bytes.
const HUGE_PAGES_BYTES_MIN: u64 = 512 << 20;

/// What the kernel's own defaults would have been with that much memory: file below [`HUGE_PAGES`], contents.
const HUGE_PAGE_DEFAULTS: &[(&str, &str)] = &[
    ("defrag", "madvise"),
    ("khugepaged/defrag", "1"),
    ("use_zero_page", "1"),
    ("enabled", "madvise"),
];

/// Where sysfs has the settings of huge pages.
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// What the kernel keeps free, in KiB. With huge pages on it keeps some ten times as much, to have whole ones free (`set_recommended_min_free_kbytes`):
/// so much that containers could not have all that they were given.
const KEPT_FREE: &str = "/proc/sys/vm/min_free_kbytes";

/// The guest's memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: u64,
    /// What nobody uses.
    pub free: u64,
}

impl Memory {
    /// As it is now.
    pub fn now() -> Self {
        let info = sysinfo();
        let unit = u64::from(info.mem_unit);
        Self {
            total: info.totalram * unit,
            free: info.freeram * unit,
        }
    }

    /// What all containers together may use before they are slowed down, in bytes, if this is the memory before they run.
    pub fn high(self) -> u64 {
        self.free.saturating_sub(RESERVE_BYTES).max(HIGH_BYTES_MIN)
    }
}

/// How far memory has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All containers together may use this much, in bytes.
    High(u64),
    /// All of it is there.
    Done,
}

/// Memory that is on its way.
#[derive(Debug)]
pub struct Growth {
    before: Memory,
    bytes: u64,
}

impl Growth {
    /// `bytes` are to come to what was there `before` any container ran.
    pub const fn new(before: Memory, bytes: u64) -> Self {
        Self { before, bytes }
    }

    /// What it means that `total` is there now.
    pub fn progress(&self, total: u64) -> Progress {
        let grown = total.saturating_sub(self.before.total);
        if grown >= self.bytes {
            Progress::Done
        } else {
            Progress::High(self.before.high() + grown - grown / PAGE_STRUCTURES)
        }
    }

    /// Makes up for what the kernel decided when it booted with less memory than there is now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn complete(&self, total: u64) -> Result<(), StepError> {
        if self.before.total >= HUGE_PAGES_BYTES_MIN || total < HUGE_PAGES_BYTES_MIN {
            return Ok(());
        }
        let kept_free = fs::read_to_string(KEPT_FREE).attempting(|| format!("read {KEPT_FREE}"))?;
        for (file, value) in HUGE_PAGE_DEFAULTS {
            let written = fs::write(format!("{HUGE_PAGES}/{file}"), value);
            written.attempting(|| format!("write {value} to {HUGE_PAGES}/{file}"))?;
        }
        fs::write(KEPT_FREE, kept_free.trim()).attempting(|| format!("write to {KEPT_FREE}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    const BEFORE: Memory = Memory {
        total: 48 * MIB,
        free: 30 * MIB,
    };

    #[test]
    fn containers_leave_a_reserve() {
        assert_eq!(BEFORE.high(), 22 * MIB);
        let full = Memory { free: MIB, ..BEFORE };
        assert_eq!(full.high(), HIGH_BYTES_MIN);
    }

    #[test]
    fn they_get_what_is_there_but_for_its_page_structures() {
        let growth = Growth::new(BEFORE, 256 * MIB);
        assert_eq!(growth.progress(48 * MIB), Progress::High(22 * MIB));
        assert_eq!(growth.progress(176 * MIB), Progress::High((22 + 128 - 2) * MIB));
        assert_eq!(growth.progress(304 * MIB), Progress::Done);
    }

    proptest! {
        #[test]
        fn more_memory_never_means_less_for_containers(bytes in 0..1_u64 << 37, first in 0..1_u64 << 37, more in 0..1_u64 << 37) {
            let growth = Growth::new(BEFORE, bytes);
            let allowed = |total| match growth.progress(total) {
                Progress::High(bytes) => bytes,
                Progress::Done => u64::MAX,
            };
            prop_assert!(allowed(first) <= allowed(first + more));
        }
    }
}
