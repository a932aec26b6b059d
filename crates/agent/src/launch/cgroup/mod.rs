//! Cgroups: what a VMM may use, and the hold on every process of it.

pub mod counters;
mod files;
mod hierarchy;
mod own;

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::sizing::CpuLimit;

pub use hierarchy::CgroupV2;
pub use own::OwnCgroup;

/// What went wrong with a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// There is no cgroup v2.
    #[error(
        "cgroup v2 is not mounted at {}, so tasks cannot be metered; boot the host with the unified hierarchy (systemd.unified_cgroup_hierarchy=1)",
        root.display()
    )]
    NotMounted {
        /// Where it should be.
        root: PathBuf,
    },
    /// A controller is missing.
    #[error("the host's cgroup v2 hierarchy at {} has no {controller} controller, so tasks cannot be metered", root.display())]
    Controller {
        /// Which.
        controller: &'static str,
        /// Of which hierarchy.
        root: PathBuf,
    },
    /// Processes are where limited children are to be.
    #[error(
        "there are processes in {}, so no cgroup below it can have limits (cgroup v2's rule): name a cgroup without processes with --cgroups",
        path.display()
    )]
    HasProcesses {
        /// The cgroup.
        path: PathBuf,
    },
    /// A file of the hierarchy.
    #[error("cannot {attempted} {}", path.display())]
    Io {
        /// `write`, `make`, …
        attempted: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Processes survive a kill.
    #[error("the processes in {} did not end when they were killed", path.display())]
    Occupied {
        /// The cgroup.
        path: PathBuf,
    },
}

/// A cgroup, and the processes in it.
pub type OccupiedCgroup = (Box<dyn Cgroup>, Vec<u32>);

/// What makes cgroups for microVMs.
pub trait Cgroups: Send + Sync + 'static {
    /// Checks that microVMs can be metered on this host.
    fn check(&self) -> Result<(), CgroupError>;

    /// Makes the cgroup of the microVM `id`, whose processes may use so much memory together.
    fn create(&self, id: &str, memory_bytes_max: u64) -> Result<Box<dyn Cgroup>, CgroupError>;

    /// Where the cgroup of the microVM `id` is, if it has one.
    fn path(&self, id: &str) -> PathBuf;

    /// The cgroup of the microVM `id` as an earlier host agent has made it, and the processes in it; none where there is no process: then the cgroup is gone, too.
    fn find(&self, id: &str) -> Result<Option<OccupiedCgroup>, CgroupError>;

    /// Ends every process in cgroups of ours but those of `kept` microVMs, and removes them, and their parent where nothing is kept; how many
    /// microVMs had one.
    fn remove_leftovers(&self, kept: &HashSet<String>) -> Result<usize, CgroupError>;
}

/// Whether the kernel has ended a process of the cgroup at `path` since there was no more memory for it.
#[must_use]
pub fn has_run_out_of_memory(path: &Path) -> bool {
    // Where it is not counted, or the cgroup is gone, nobody knows.
    let events = std::fs::read_to_string(path.join("memory.events")).unwrap_or_default();
    counters::value(&events, "oom_kill").is_some_and(|kills| kills > 0)
}

/// The cgroup of one microVM. Dropping it removes it as [`Self::remove`] does.
pub trait Cgroup: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;

    /// Its directory, where a process can be born into it.
    fn directory(&self) -> Option<OwnedFd>;

    /// Moves a process into it.
    fn enter(&self, process: u32) -> Result<(), CgroupError>;

    /// Bounds the memory of its processes from now on.
    fn limit_memory(&self, bytes_max: u64) -> Result<(), CgroupError>;

    /// Bounds the CPU time of its processes from now on.
    fn limit_cpu(&self, limit: CpuLimit) -> Result<(), CgroupError>;

    /// Ends what still runs in it and removes it.
    fn remove(&mut self) -> Result<(), CgroupError>;

    /// Lets it be when this value goes.
    fn leave(&mut self);
}
