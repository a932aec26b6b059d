//! What tasks may leave behind, counted: nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What is there right now of the things that tasks hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Processes of VMMs.
    pub vmms: Vec<String>,
    /// Control groups of tasks.
    pub cgroups: Vec<String>,
    /// Mount points.
    pub mounts: usize,
    /// Files and directories of tasks in the runtime directory.
    pub files: Vec<String>,
}

impl Held {
    /// Counts on this host, for the host agent whose runtime directory is `runtime`.
    ///
    /// # Errors
    /// Where `/proc` or `/sys` cannot be read.
    pub fn now(runtime: &Path) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")
            .context("cannot read the mounts")?
            .lines()
            .count();
        let cgroups = names(Path::new("/sys/fs/cgroup/mote"), |entry| entry.is_dir())?;
        Ok(Self {
            vmms: vmms()?,
            cgroups,
            mounts,
            files: names(&runtime.join("tasks"), |_| true)?,
        })
    }
}

/// The processes that are VMMs, by their command names.
fn vmms() -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let path = entry.context("cannot list /proc")?.path();
        // A process may be gone by now.
        if fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "mote-vmm") {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// The names in `directory` that `counted` takes; none where it does not exist.
fn names(directory: &Path, counted: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", directory.display())),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot list {}", directory.display()))?
            .path();
        if counted(&path) {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    Ok(found)
}
