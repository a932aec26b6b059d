//! What a container sees of the kernel: its own mounts, and the paths that are hidden or made read-only.
//!
//! All that does not depend on the container is mounted in advance, on a stage: a root of its own with nothing else in it. When the container
//! is known, its root file system is mounted on top of that root, and `/proc`, `/sys` and `/dev` are moved over. The moves take place
//! inside the container's root: whatever symbolic links an image has in their way lead to places in the container.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use protocol::guest::Container;
use rustix::fs::{CWD, OFlags, StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_bind_recursive, mount_change,
    mount_remount, open_tree, unmount,
};

use super::names::Names;
use super::report::Place;
use super::{devices, layer};
use crate::disks::DISKS;
use crate::failure::{Attempt, StepError};
use crate::mount::{Mount, attach, mount_all};

const NOTHING_SPECIAL: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);

/// Docker's mounts in Docker's order; `/dev/pts` follows, since the guest agent makes terminals there.
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

/// Where the stage is mounted before it becomes the root.
const STAGE: &str = "/stage";

/// What is moved over to the container, with everything that is mounted below it.
const MOVED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// A stage on which everything is ready.
#[derive(Debug)]
pub struct Stage {
    trees: Vec<(OwnedFd, &'static str)>,
    names: Names,
}

impl Stage {
    /// Makes a stage the root of this process's mount namespace, lets go of everything else but [`DISKS`], and mounts what every
    /// container has, `terminals` among it.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn build(terminals: OwnedFd) -> Result<Self, StepError> {
        enter_stage()?;
        mount_all(MOUNTS)?;
        devices::create()?;
        fs::create_dir(TERMINALS).attempting(|| format!("create {TERMINALS}"))?;
        attach(terminals, TERMINALS).attempting(|| format!("mount devpts at {TERMINALS}"))?;
        let tree = |path| {
            let opened = open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLOEXEC);
            Ok((opened.attempting(|| format!("open {path}"))?, path))
        };
        Ok(Self {
            trees: MOVED.into_iter().map(tree).collect::<Result<_, _>>()?,
            names: Names::prepare()?,
        })
    }

    /// Makes the overlay of `image` and the writable `layer` the root, with what was on the stage in it, and tells `container` where it is.
    ///
    /// # Errors
    /// The first step that failed.
    pub fn enter(self, image: &Path, layer: &Path, place: &Place, container: &Container) -> Result<(), StepError> {
        let attempt = || "make the root file system the root".to_owned();
        mount(
            "overlay",
            "/",
            "overlay",
            MountFlags::empty(),
            &*layer::options(image, layer),
        )
        .attempting(|| format!("mount overlay with {} below {}", image.display(), layer.display()))?;
        // The root of this process is still what is below; the way up from a root leads to what is mounted on it.
        rustix::process::chroot("/..").attempting(attempt)?;
        std::env::set_current_dir("/").attempting(attempt)?;
        for (tree, path) in self.trees {
            attach(tree, path).attempting(|| format!("move {path} into the container"))?;
        }
        self.names.publish(place, &container.hosts)
    }
}

/// Mounts the stage and takes everything else away.
fn enter_stage() -> Result<(), StepError> {
    // Nothing of what follows is seen outside; disks that are mounted outside later are seen here.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .attempting(|| "separate the mounts from the guest agent's")?;
    let stage = Mount {
        kind: "tmpfs",
        at: STAGE,
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=755",
    };
    mount_all(&[stage])?;
    let disks = format!("{STAGE}{DISKS}");
    fs::create_dir(&disks).attempting(|| format!("create {disks}"))?;
    mount_bind_recursive(DISKS, &disks).attempting(|| format!("bind {DISKS} to {disks}"))?;
    let attempt = || format!("make {STAGE} the root");
    std::env::set_current_dir(STAGE).attempting(attempt)?;
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
    remount_read_only(path)
}

/// Makes the mount at `path` read-only.
///
/// # Errors
/// The kernel's.
pub fn remount_read_only(path: &str) -> Result<(), StepError> {
    let attempt = || format!("make {path} read-only");
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

/// Takes away what [`mask`] or [`make_read_only`] put at `path`, if they did.
///
/// # Errors
/// The kernel's.
pub fn restore(path: &str) -> Result<(), StepError> {
    match unmount(path, UnmountFlags::DETACH) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error).attempting(|| format!("restore {path}")),
    }
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
