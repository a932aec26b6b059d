//! A disk that is small enough to be full.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::command::ran;

/// A file system of its own in memory. It is unmounted when dropped.
pub struct Disk(TempDir);

impl Disk {
    /// With room for so many MiB.
    ///
    /// # Panics
    /// Where it cannot be mounted.
    #[must_use]
    pub fn of_mib(mib: u32) -> Self {
        let directory = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "disk"]);
        let _ = ran(mount.arg(directory.path()), b"").unwrap().ended_with(0);
        Self(directory)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A directory for a host agent whose state is on this disk.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn for_state(&self) -> TempDir {
        let directory = TempDir::new().unwrap();
        symlink(self.path(), directory.path().join("state")).unwrap();
        directory
    }

    /// Leaves no room in it for as long as `work` takes.
    ///
    /// # Panics
    /// Where it cannot be filled.
    pub fn full<T>(&self, work: impl FnOnce() -> T) -> T {
        let ballast = self.path().join("ballast");
        let filled = io::copy(&mut io::repeat(1), &mut File::create(&ballast).unwrap());
        assert_eq!(filled.unwrap_err().kind(), ErrorKind::StorageFull);
        let result = work();
        fs::remove_file(ballast).unwrap();
        result
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Where a test failed, something may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
