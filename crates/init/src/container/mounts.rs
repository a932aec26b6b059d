//! What a container sees of the kernel: its own mounts, and the paths that are hidden or made read-only.
//!
//! All of this happens after `pivot_root`: whatever symbolic links an image has in the way of a mount lead to places in the container.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, OFlags, StatVfsMountFlags, statvfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, move_mount, unmount,
};

use super::devices;
use crate::failure::{Attempt, StepError};
use crate::mount::{Mount, mount_all};

const NOTHING_SPECIAL: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);

/// Docker's mounts in Docker's order; `/dev/pts` follows, since its terminal was made before.
const MOUNTS: &[Mount] = &[
    Mount {
        kind: "proc",
        at: "/proc",
        flags: NOTHING_SPECIAL,
        data: c"",
    },
    Mount {
        kind: "tmpfs",
        at: "/dev",
        flags: MountFlags::NOSUID.union(MountFlags::STRICTATIME),
        data: c"mode=755,size=65536k",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        flags: NOTHING_SPECIAL.union(MountFlags::RDONLY),
        data: c"",
    },
    Mount {
        kind: "cgroup2",
        at: "/sys/fs/cgroup",
        flags: NOTHING_SPECIAL.union(MountFlags::RDONLY),
        data: c"",
    },
    Mount {
        kind: "mqueue",
        at: "/dev/mqueue",
        flags: NOTHING_SPECIAL,
        data: c"",
    },
    Mount {
        kind: "tmpfs",
        at: "/dev/shm",
        flags: NOTHING_SPECIAL,
        data: c"mode=1777,size=65536k",
    },
];

/// Where the container's pseudoterminals are.
const TERMINALS: &str = "/dev/pts";

/// The options of the pseudoterminals' file system; group 5 is `tty`.
const TERMINAL_OPTIONS: &[(&str, &str)] = &[
    ("source", "devpts"),
    ("ptmxmode", "0666"),
    ("mode", "0620"),
    ("gid", "5"),
];

/// Makes `root` the root of this process's mount namespace and lets go of everything else.
///
/// # Errors
/// The kernel's.
pub fn enter(root: &Path) -> Result<(), StepError> {
    let attempt = || format!("make {} the root", root.display());
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).attempting(attempt)?;
    std::env::set_current_dir(root).attempting(attempt)?;
    // The old root ends up on top of the new one and is then taken away (pivot_root(2), "pivot_root(".", ".")").
    rustix::process::pivot_root(".", ".").attempting(attempt)?;
    unmount(".", UnmountFlags::DETACH).attempting(attempt)?;
    std::env::set_current_dir("/").attempting(attempt)
}

/// A pseudoterminal file system of its own, mounted nowhere yet.
///
/// # Errors
/// The kernel's.
pub fn terminals() -> io::Result<OwnedFd> {
    let context = fsopen("devpts", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (option, value) in TERMINAL_OPTIONS {
        fsconfig_set_string(context.as_fd(), *option, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}

/// Gives the container its file systems and devices, `terminals` among them.
///
/// # Errors
/// The first step that failed.
pub fn set_up(terminals: OwnedFd) -> Result<(), StepError> {
    mount_all(MOUNTS)?;
    devices::create()?;
    fs::create_dir(TERMINALS).attempting(|| format!("create {TERMINALS}"))?;
    move_mount(terminals, "", CWD, TERMINALS, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .attempting(|| format!("mount devpts at {TERMINALS}"))
}

/// Makes the terminal at `path` the container's console as well.
///
/// # Errors
/// The kernel's.
pub fn bind_console(path: &Path) -> Result<(), StepError> {
    const CONSOLE: &str = "/dev/console";
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::open(CONSOLE, flags, rustix::fs::Mode::empty()).attempting(|| format!("create {CONSOLE}"))?;
    mount_bind(path, CONSOLE).attempting(|| format!("bind {} to {CONSOLE}", path.display()))
}

/// Hides what is at `path`: nothing, an empty file or an empty directory is seen there.
///
/// # Errors
/// The kernel's. A path that does not exist is hidden already.
pub fn mask(path: &str) -> Result<(), StepError> {
    let attempt = || format!("mask {path}");
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, None).attempting(attempt),
        Ok(_) => mount_bind("/dev/null", path).attempting(attempt),
        Err(error) if is_absent(&error) => Ok(()),
        Err(error) => Err(error).attempting(attempt),
    }
}

/// Makes what is at `path` read-only.
///
/// # Errors
/// The kernel's. A path that does not exist cannot be written.
pub fn make_read_only(path: &str) -> Result<(), StepError> {
    let attempt = || format!("make {path} read-only");
    match mount_bind_recursive(path, path).map_err(io::Error::from) {
        Ok(()) => {}
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(error).attempting(attempt),
    }
    // A remount replaces all flags, so those that the mount has are named again.
    let present = statvfs(path).attempting(attempt)?.f_flag;
    let kept = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ];
    let kept = kept.into_iter().filter(|(flag, _)| present.contains(*flag));
    let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |flags, (_, flag)| flags | flag);
    mount_remount(path, flags, c"").attempting(attempt)
}

/// Whether there is nothing at a path.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_comes_after_the_mount_it_lies_in() {
        for (index, row) in MOUNTS.iter().enumerate() {
            let hidden_by_later = MOUNTS[index + 1..].iter().any(|later| row.at.starts_with(later.at));
            assert!(!hidden_by_later, "{} is hidden by a later mount", row.at);
        }
    }

    #[test]
    fn only_the_devices_directory_allows_devices() {
        for row in MOUNTS.iter().filter(|row| row.at != "/dev") {
            assert!(row.flags.contains(NOTHING_SPECIAL), "{}", row.at);
        }
    }
}
