//! The directory of a microVM: its sockets.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A directory could not be made or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} the microVM's directory {}", path.display())]
pub struct DirectoryError {
    attempted: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A directory that goes, with all that is in it, when this value goes.
#[derive(Debug)]
pub struct RuntimeDirectory {
    path: Option<PathBuf>,
}

impl RuntimeDirectory {
    /// Makes it, for the owner alone; the directory around it is there already.
    pub fn create(path: &Path) -> Result<Self, DirectoryError> {
        let failed = |source| DirectoryError {
            attempted: "make",
            path: path.to_owned(),
            source,
        };
        DirBuilder::new().mode(0o700).create(path).map_err(failed)?;
        Ok(Self {
            path: Some(path.to_owned()),
        })
    }

    /// The one that an earlier host agent has made.
    pub fn find(path: &Path) -> Self {
        Self {
            path: Some(path.to_owned()),
        }
    }

    /// Keeps it when this value goes.
    pub fn leave(mut self) {
        self.path = None;
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Removes it.
    pub fn remove(mut self) -> Result<(), DirectoryError> {
        match self.path.take() {
            Some(path) => remove(&path).map_err(|source| DirectoryError {
                attempted: "remove",
                path,
                source,
            }),
            None => Ok(()),
        }
    }
}

impl Drop for RuntimeDirectory {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = remove(path)
        {
            tracing::error!(path = %path.display(), "a microVM's directory is left over: {error}");
        }
    }
}

/// Removes a directory, which may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
