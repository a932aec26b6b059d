//! The directory of a running task: its sockets.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory could not be made or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} the task's directory {}", path.display())]
pub struct DirectoryError {
    attempted: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A directory that goes, with all that is in it, when this value goes.
#[derive(Debug)]
pub struct TaskDirectory {
    path: Option<PathBuf>,
}

impl TaskDirectory {
    /// Makes it, for the owner alone.
    pub fn create(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |source| DirectoryError {
            attempted: "make",
            path: path.to_owned(),
            source,
        };
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        if let Some(parent) = path.parent() {
            builder.recursive(true).create(parent).map_err(failed)?;
        }
        builder.recursive(false).create(path).map_err(failed)?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Removes it.
    pub fn remove(mut self) -> Result<(), DirectoryError> {
        match self.path.take() {
            Some(path) => fs::remove_dir_all(&path).map_err(|source| DirectoryError {
                attempted: "remove",
                path,
                source,
            }),
            None => Ok(()),
        }
    }
}

impl Drop for TaskDirectory {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_dir_all(path)
        {
            tracing::error!(path = %path.display(), "a task's directory is left over: {error}");
        }
    }
}
