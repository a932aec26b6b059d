//! The file system that templates are on: a tmpfs of huge pages, so that a clone maps its kernel's text with few page faults.

use std::ffi::CStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

/// The kinds of tmpfs, the best first (Documentation/admin-guide/mm/transhuge.rst, "Hugepages in tmpfs/shmem").
const OPTIONS: [&CStr; 2] = [c"mode=0700,huge=always", c"mode=0700"];

/// The directory for templates could not be made or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted} the directory of templates {}", path.display())]
pub struct MountError {
    attempted: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// Makes `directory` and mounts a tmpfs of huge pages on it, unless one of an earlier host agent is there. Where that cannot be had, the next
/// best thing is, with a warning: everything works on any file system, and starts are slower.
pub fn prepare(directory: &Path) -> Result<(), MountError> {
    make(directory)?;
    if is_mount_point(directory) {
        return Ok(());
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (index, options) in OPTIONS.into_iter().enumerate() {
        match rustix::mount::mount("mote-templates", directory, "tmpfs", flags, options) {
            Ok(()) if index == 0 => return Ok(()),
            Ok(()) => {
                tracing::warn!("this kernel has no huge pages for tmpfs: clones start slower than they could");
                return Ok(());
            }
            // An option that the kernel does not have.
            Err(Errno::INVAL) => {}
            Err(errno) => {
                let path = directory.display();
                tracing::warn!(
                    "cannot mount a tmpfs for templates on {path}, so they are kept as files there: {errno}"
                );
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Makes `directory`, for the owner alone.
pub fn make(directory: &Path) -> Result<(), MountError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| MountError {
        attempted: "make",
        path: directory.to_owned(),
        source,
    })
}

/// Undoes [`prepare`]: what is on the tmpfs goes with it.
pub fn remove(directory: &Path) -> Result<(), MountError> {
    if !is_mount_point(directory) {
        return Ok(());
    }
    rustix::mount::unmount(directory, UnmountFlags::NOFOLLOW).map_err(|errno| MountError {
        attempted: "unmount",
        path: directory.to_owned(),
        source: errno.into(),
    })
}

fn is_mount_point(directory: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    match (device(directory), directory.parent().and_then(device)) {
        (Some(inside), Some(outside)) => inside != outside,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_no_mount_point_and_the_process_file_system_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!is_mount_point(directory.path()));
        assert!(is_mount_point(Path::new("/proc")));
        remove(directory.path()).unwrap();
        assert!(directory.path().exists());
    }
}
