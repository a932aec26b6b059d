//! What microVMs may leave behind, counted: nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What is there right now of the things that the microVMs of one host agent hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Processes.
    pub processes: Vec<u32>,
    /// Control groups.
    pub cgroups: Vec<String>,
    /// Mount points in the runtime directory.
    pub mounts: Vec<String>,
    /// Files and directories of microVMs in the runtime directory.
    pub files: Vec<String>,
    /// Bound sockets in the runtime directory.
    pub sockets: Vec<String>,
}

impl Held {
    /// Counts on this host, for the host agent whose runtime directory is `runtime`.
    ///
    /// # Errors
    /// Where `/proc` or `/sys` cannot be read.
    pub fn now(runtime: &Path) -> Result<Self> {
        let below = |path: &str| path.starts_with(&format!("{}/", runtime.display()));
        let mentioned = |file: &str, column: usize| -> Result<Vec<String>> {
            let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
            let words = text.lines().filter_map(|line| line.split_whitespace().nth(column));
            let mut found: Vec<String> = words.filter(|path| below(path)).map(str::to_owned).collect();
            found.sort();
            Ok(found)
        };
        Ok(Self {
            processes: processes(runtime)?,
            cgroups: names(&cgroup(runtime), |entry| entry.is_dir())?,
            mounts: mentioned("/proc/self/mountinfo", 4)?,
            files: names(&runtime.join("microvms"), |_| true)?,
            sockets: mentioned("/proc/net/unix", 7)?,
        })
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// The processes of the microVMs of the host agent whose runtime directory is `runtime`.
///
/// # Errors
/// Where `/proc` cannot be listed.
pub fn processes(runtime: &Path) -> Result<Vec<u32>> {
    let group = format!("/{}/", cgroup_name(runtime));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let path = entry.context("cannot list /proc")?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        // A process may be gone by now.
        if let (Some(number), Ok(text)) = (number, fs::read_to_string(path.join("cgroup")))
            && text.contains(&group)
        {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The parent of the control groups of that host agent.
fn cgroup(runtime: &Path) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(cgroup_name(runtime))
}

/// The control group of that host agent itself.
#[must_use]
pub fn agent_cgroup(runtime: &Path) -> PathBuf {
    Path::new("/sys/fs/cgroup").join(format!("{}-agent", cgroup_name(runtime)))
}

fn cgroup_name(runtime: &Path) -> String {
    format!("mote{}", runtime.display().to_string().replace('/', "-"))
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
