//! Mounts as data: a row per mount and one loop; and mounts that exist, put to their places.

use std::ffi::CStr;
use std::fs;
use std::os::fd::AsFd;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, mount, move_mount};

use crate::failure::{Attempt, StepError};

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

/// Attaches a mount, which may be attached elsewhere, at `path`.
///
/// # Errors
/// The kernel's.
pub fn attach(tree: impl AsFd, path: &str) -> Result<(), Errno> {
    move_mount(tree.as_fd(), "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}
