//! What is mounted in a container beside what every container has.
//!
//! The sources are opened before the container's root is entered; the targets are looked up inside it, so that whatever symbolic links an image has
//! in their way lead to places in the container.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use protocol::guest::{Mount, MountSource};
use rustix::fs::CWD;
use rustix::mount::{MountFlags, OpenTreeFlags, mount, mount_remount, open_tree};

use super::{populate, stage};
use crate::disks;
use crate::failure::{Attempt, StepError};

/// Options of mount(8) that are flags of mount(2).
const FLAGS: &[(&str, MountFlags)] = &[
    ("ro", MountFlags::RDONLY),
    ("nosuid", MountFlags::NOSUID),
    ("nodev", MountFlags::NODEV),
    ("noexec", MountFlags::NOEXEC),
    ("sync", MountFlags::SYNCHRONOUS),
    ("dirsync", MountFlags::DIRSYNC),
    ("noatime", MountFlags::NOATIME),
    ("nodiratime", MountFlags::NODIRATIME),
    ("relatime", MountFlags::RELATIME),
    ("strictatime", MountFlags::STRICTATIME),
];

/// Options of mount(8) that are what a file system has anyway.
const USUAL: &[&str] = &[
    "defaults",
    "rw",
    "suid",
    "dev",
    "exec",
    "async",
    "atime",
    "diratime",
    "norelatime",
    "nostrictatime",
];

/// Opens what is to be mounted, a mount of its own for each: none for a file system that is made where it is mounted.
///
/// # Errors
/// The first that is not there.
pub fn open(mounts: &[Mount], volumes: &[(String, String)]) -> Result<Vec<Option<OwnedFd>>, StepError> {
    let opened = mounts.iter().map(|mount| {
        let path = match &mount.source {
            MountSource::Volume(name) => {
                let volume = volumes.iter().find(|(known, _)| known == name);
                let missing = || io::Error::from(io::ErrorKind::NotFound);
                let (_, path) = volume
                    .ok_or_else(missing)
                    .attempting(|| format!("find the volume {name}"))?;
                path.into()
            }
            MountSource::Disk(slot) | MountSource::Directory(slot) => disks::place(*slot),
            MountSource::Tmpfs { .. } => return Ok(None),
        };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, &path, flags).attempting(|| format!("open {}", path.display()))?;
        Ok(Some(tree))
    });
    opened.collect()
}

/// Mounts all in their order, in the root that this process has, and fills volumes that are still empty.
///
/// # Errors
/// The first that failed.
pub fn attach(mounts: &[Mount], sources: Vec<Option<OwnedFd>>) -> Result<(), StepError> {
    for (mount, source) in mounts.iter().zip(sources) {
        let target = mount.target.as_str();
        fs::create_dir_all(target).attempting(|| format!("create {target}"))?;
        match (&mount.source, source) {
            (MountSource::Tmpfs { bytes, options }, _) => mount_tmpfs(target, *bytes, options)?,
            (source, Some(tree)) => {
                if matches!(source, MountSource::Volume(_)) {
                    populate::fill(tree.as_fd(), target)?;
                }
                crate::mount::attach(tree, target).attempting(|| format!("mount at {target}"))?;
            }
            (_, None) => {}
        }
        if mount.read_only {
            stage::remount_read_only(target)?;
        }
    }
    Ok(())
}

fn mount_tmpfs(target: &str, bytes: u64, options: &[String]) -> Result<(), StepError> {
    let attempt = || format!("mount tmpfs at {target} with the options {}", options.join(","));
    let (flags, data) = sorted(bytes, options);
    let data = CString::new(data).map_err(io::Error::from).attempting(attempt)?;
    mount("tmpfs", target, "tmpfs", flags, &*data).attempting(attempt)
}

/// Options, as mount(2) takes them: flags, and what is left for the file system.
fn sorted(bytes: u64, options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options {
        match FLAGS.iter().find(|(name, _)| name == option) {
            Some((_, flag)) => flags |= *flag,
            None if USUAL.contains(&option.as_str()) => {}
            None => data.push(option.as_str()),
        }
    }
    let size = format!("size={bytes}");
    data.push(&size);
    (flags, data.join(","))
}

/// Makes `/dev/shm` as large as `bytes`.
///
/// # Errors
/// The kernel's.
pub fn resize_shared_memory(bytes: u64) -> Result<(), StepError> {
    let size = CString::new(format!("size={bytes}")).unwrap_or_default();
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount_remount("/dev/shm", flags, &*size).attempting(|| format!("make /dev/shm {bytes} bytes large"))
}

/// Takes from this process and all that follow the right to write to the root file system; what is mounted in it stays as it is.
///
/// # Errors
/// The kernel's.
pub fn make_root_read_only() -> Result<(), StepError> {
    stage::remount_read_only("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_the_file_systems() {
        let options = ["rw", "noexec", "mode=1777", "nosuid", "uid=7"].map(str::to_owned);
        let (flags, data) = sorted(4096, &options);
        assert_eq!(flags, MountFlags::NOEXEC | MountFlags::NOSUID);
        assert_eq!(data, "mode=1777,uid=7,size=4096");
    }

    #[test]
    fn a_volume_that_nobody_declared_is_told_by_name() {
        let mount = Mount {
            source: MountSource::Volume("data".to_owned()),
            target: "/data".to_owned(),
            read_only: false,
        };
        let error = open(&[mount], &[]).unwrap_err();
        assert_eq!(error.to_string(), "cannot find the volume data");
    }
}
