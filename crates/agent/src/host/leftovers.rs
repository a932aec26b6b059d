//! What an earlier host agent left behind and nobody needs any more: found and removed before anything else happens.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::launch::{CgroupError, Cgroups};

/// Something of an earlier host agent could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum LeftoverError {
    /// A cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A file or directory.
    #[error("cannot remove {}, which an earlier host agent left behind", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Ends the processes and removes the cgroups and directories of microVMs that nobody looks after any more, be they tasks', the pool's or
/// templates' in the making. Those that are `kept`, by id, are tasks' that live. What they wrote went with their processes. Templates stay: they can be used again.
///
/// # Errors
/// The first thing that cannot be removed.
pub fn remove(config: &Config, cgroups: &dyn Cgroups, kept: &HashSet<String>) -> Result<(), LeftoverError> {
    // Processes first: they use the rest.
    let microvms = cgroups.remove_leftovers(kept)?;
    let directories = empty(&config.microvms_directory(), kept)?;
    if microvms + directories > 0 {
        tracing::warn!(microvms, directories, "removed what an earlier host agent left behind");
    }
    Ok(())
}

fn empty(directory: &Path, kept: &HashSet<String>) -> Result<usize, LeftoverError> {
    let failed = |path: &Path, source| LeftoverError::File {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(directory, error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|error| failed(directory, error))?;
        if kept.contains(entry.file_name().to_string_lossy().as_ref()) {
            continue;
        }
        let path = entry.path();
        let result = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        result.map_err(|error| failed(&path, error))?;
        removed += 1;
    }
    Ok(removed)
}
