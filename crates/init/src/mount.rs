//! Mounts as data: a row per mount and one loop.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::failure::{Attempt, StepError};
use crate::kernel_log;

/// One mount of a file system that needs no device.
#[derive(Debug)]
pub struct Mount {
    /// The file system's kernel name.
    pub kind: &'static str,
    /// Where; the directory is made if it is missing.
    pub at: &'static str,
    /// The flags of `mount(2)`.
    pub flags: MountFlags,
    /// The file system's own options.
    pub data: &'static CStr,
}

/// Performs every mount of `table`, in its order.
///
/// # Errors
/// The first that failed.
pub fn mount_all(table: &[Mount]) -> Result<(), StepError> {
    for Mount { kind, at, flags, data } in table {
        fs::create_dir_all(at).attempting(|| format!("create {at}"))?;
        mount(*kind, *at, *kind, *flags, *data).attempting(|| format!("mount {kind} at {at}"))?;
    }
    Ok(())
}

/// The mounts of block devices and overlays that must be undone before the microVM ends.
#[derive(Debug, Default)]
pub struct Mounted(Vec<PathBuf>);

impl Mounted {
    /// Mounts `source` at `at`, which is made if it is missing, and remembers it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mount(
        &mut self,
        kind: &str,
        source: &Path,
        at: &Path,
        flags: MountFlags,
        data: Option<&CStr>,
    ) -> Result<(), StepError> {
        fs::create_dir_all(at).attempting(|| format!("create {}", at.display()))?;
        mount(source, at, kind, flags, data)
            .attempting(|| format!("mount {kind} from {} at {}", source.display(), at.display()))?;
        self.0.push(at.to_owned());
        Ok(())
    }

    /// Undoes everything, the latest first. What cannot be undone is said and left: the microVM ends all the same.
    pub fn unmount_all(&mut self) {
        while let Some(at) = self.0.pop() {
            if let Err(error) = unmount(&at, UnmountFlags::empty()) {
                kernel_log::warn(&format!("cannot unmount {}: {error}", at.display()));
            }
        }
    }
}
