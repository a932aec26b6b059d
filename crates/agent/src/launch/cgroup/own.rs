//! The host agent's own cgroup: what tasks take of the host's memory and CPU is not taken from the one that looks after them.

use std::fs;
use std::path::{Path, PathBuf};

use super::CgroupError;
use super::files::{make, write};
use super::hierarchy::parent_name;
use crate::sentence::sentence;

/// What of the host agent's memory the kernel leaves to it when it looks for memory to take back, in bytes: what it has in memory with 1,000 tasks.
const MEMORY_BYTES_MIN: u64 = 64 << 20;

/// The host agent's share of the CPU against that of all tasks together, which is 100 (cgroup-v2.rst, `cpu.weight`). It needs little, but soon: what a guest
/// tells it waits otherwise, where no CPU is free, until a task's turn is over.
const CPU_WEIGHT: u64 = 1000;

/// How much less likely than others it is killed when the host has no memory left (proc_pid_oom_score_adj(5)). VMMs take that back for
/// themselves.
const OOM_SCORE_ADJUSTMENT: &str = "-500";

/// A cgroup that this process has entered. Dropping it goes back and removes it.
#[derive(Debug)]
pub struct OwnCgroup {
    path: PathBuf,
    before: PathBuf,
}

impl OwnCgroup {
    /// Enters a leaf beside the parent of the tasks' cgroups, in the hierarchy at `root`, for the host agent with this `runtime` directory.
    ///
    /// A service has a cgroup of its own from its service manager, which also protects it. Elsewhere the host agent would share one with
    /// whoever started it, and end with that session. Whoever may not do all of this works on without: it is told in the log.
    #[must_use]
    pub fn enter(root: &Path, runtime: &Path) -> Option<Self> {
        if let Err(error) = spare() {
            tracing::debug!("the host agent is killed as likely as others when the host has no memory left: {error}");
        }
        let listed = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let before = whereabouts(&listed)?;
        if is_service(before) {
            return None;
        }
        let own = Self {
            path: root.join(format!("{}-agent", parent_name(runtime))),
            before: root.join(before.trim_start_matches('/')),
        };
        match own.try_enter(root) {
            Ok(()) => Some(own),
            Err(error) => {
                tracing::warn!("the host agent has no cgroup of its own: {}", sentence(&error));
                None
            }
        }
    }

    fn try_enter(&self, root: &Path) -> Result<(), CgroupError> {
        make(&self.path)?;
        write(&self.path.join("cgroup.procs"), "0")?;
        // Only now: a cgroup other than the first of all may not have processes and limited children at once (cgroup-v2.rst, "No Internal
        // Process Constraint"), and this process may have been the one that was in the way.
        write(&root.join("cgroup.subtree_control"), "+cpu +memory")?;
        write(&self.path.join("memory.min"), &MEMORY_BYTES_MIN.to_string())?;
        write(&self.path.join("cpu.weight"), &CPU_WEIGHT.to_string())
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let left = write(&self.before.join("cgroup.procs"), "0");
        // Without `remove`'s last resort: it would kill this process.
        if let Err(error) = left.and_then(|()| remove_empty(&self.path)) {
            tracing::debug!("the host agent's cgroup is left for the next one: {}", sentence(&error));
        }
    }
}

/// Removes a cgroup unless a process is in it: one of this process's own may just be ending.
fn remove_empty(path: &Path) -> Result<(), CgroupError> {
    let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    if processes.trim().is_empty() {
        fs::remove_dir(path).map_err(|source| CgroupError::Io {
            attempted: "remove the cgroup",
            path: path.to_owned(),
            source,
        })
    } else {
        Err(CgroupError::Occupied { path: path.to_owned() })
    }
}

/// Has the kernel spare this process when it looks for one to kill. A service manager's choice stays.
fn spare() -> std::io::Result<()> {
    let path = "/proc/self/oom_score_adj";
    if fs::read_to_string(path)?.trim() == "0" {
        fs::write(path, OOM_SCORE_ADJUSTMENT)?;
    }
    Ok(())
}

/// The cgroup v2 of `/proc/PID/cgroup` (cgroups(7)).
fn whereabouts(listed: &str) -> Option<&str> {
    listed.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Whether a service manager made this cgroup for a service.
fn is_service(path: &str) -> bool {
    path.split('/').any(|part| part.ends_with(".service")) && !path.contains("/user@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_stays_where_its_manager_has_put_it() {
        assert!(is_service("/system.slice/mote-agent.service"));
        assert!(is_service("/mote.service"));
        assert!(!is_service("/"));
        assert!(!is_service("/user.slice/user-0.slice/session-1.scope"));
        assert!(!is_service(
            "/user.slice/user-0.slice/user@0.service/app.slice/term.scope"
        ));
    }

    #[test]
    fn only_the_unified_hierarchy_counts() {
        assert_eq!(whereabouts("4:memory:/a\n0::/b\n"), Some("/b"));
        assert_eq!(whereabouts("4:memory:/a\n"), None);
    }

    #[test]
    fn it_is_entered_with_a_protection_and_left_again() {
        let root = tempfile::tempdir().unwrap();
        let (path, before) = (root.path().join("mote-agent"), root.path().to_owned());
        fs::create_dir(&path).unwrap();
        for file in [
            "cgroup.procs",
            "cgroup.subtree_control",
            "mote-agent/cgroup.procs",
            "mote-agent/memory.min",
            "mote-agent/cpu.weight",
        ] {
            fs::write(root.path().join(file), "").unwrap();
        }
        let own = OwnCgroup {
            path: path.clone(),
            before,
        };
        own.try_enter(root.path()).unwrap();
        let read = |file: &str| fs::read_to_string(root.path().join(file)).unwrap();
        assert_eq!(read("mote-agent/memory.min"), MEMORY_BYTES_MIN.to_string());
        assert_eq!(read("mote-agent/cpu.weight"), CPU_WEIGHT.to_string());
        assert_eq!(
            (read("mote-agent/cgroup.procs"), read("cgroup.subtree_control")),
            ("0".into(), "+cpu +memory".into())
        );
        drop(own);
        assert_eq!(read("cgroup.procs"), "0");
    }
}
