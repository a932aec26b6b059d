//! The machine's file tree: the host's root read-only below a tmpfs, the kernel's file systems, shares, modules, cgroups.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use machine::wire::{BootConfig, HOST_ROOT_TAG, share_tag};
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};

/// Where the host's root is mounted, read-only, before the switch.
const LOWER: &str = "/lower";
/// Where what the machine writes goes: memory.
const UPPER: &str = "/upper";
/// The tree to be.
const ROOT: &str = "/root";
const DATA_DIRECTORY: &str = "/var/lib/mote";
const DATA_DISK: &str = "/dev/vda";

struct Mount {
    kind: &'static str,
    at: &'static str,
    flags: MountFlags,
    data: &'static str,
}

const NODEV_NOSUID: MountFlags = MountFlags::NODEV.union(MountFlags::NOSUID);
const KERNEL: MountFlags = NODEV_NOSUID.union(MountFlags::NOEXEC);

const EARLY: &[Mount] = &[
    Mount {
        kind: "devtmpfs",
        at: "/dev",
        flags: MountFlags::NOSUID,
        data: "",
    },
    Mount {
        kind: "proc",
        at: "/proc",
        flags: KERNEL,
        data: "",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        flags: KERNEL,
        data: "",
    },
];

/// Below [`ROOT`], in this order.
const FINAL: &[Mount] = &[
    Mount {
        kind: "devtmpfs",
        at: "/dev",
        flags: MountFlags::NOSUID,
        data: "",
    },
    Mount {
        kind: "devpts",
        at: "/dev/pts",
        flags: MountFlags::NOSUID,
        data: "gid=5,mode=620,ptmxmode=666",
    },
    Mount {
        kind: "tmpfs",
        at: "/dev/shm",
        flags: NODEV_NOSUID,
        data: "mode=1777",
    },
    Mount {
        kind: "mqueue",
        at: "/dev/mqueue",
        flags: KERNEL,
        data: "",
    },
    Mount {
        kind: "proc",
        at: "/proc",
        flags: KERNEL,
        data: "",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        flags: KERNEL,
        data: "",
    },
    Mount {
        kind: "cgroup2",
        at: "/sys/fs/cgroup",
        flags: KERNEL,
        data: "nsdelegate,memory_recursiveprot",
    },
    // The tests count VM exits there.
    Mount {
        kind: "tracefs",
        at: "/sys/kernel/tracing",
        flags: KERNEL,
        data: "",
    },
    // The host's sockets and process ids mean nothing in the machine.
    Mount {
        kind: "tmpfs",
        at: "/run",
        flags: NODEV_NOSUID,
        data: "mode=755",
    },
    Mount {
        kind: "tmpfs",
        at: "/tmp",
        flags: NODEV_NOSUID,
        data: "mode=1777,size=75%",
    },
];

/// Mounts what the steps before the switch need.
pub fn mount_early() -> io::Result<()> {
    EARLY.iter().try_for_each(|row| mount_row("", row))
}

fn mount_row(below: &str, row: &Mount) -> io::Result<()> {
    let target = format!("{below}{}", row.at);
    fs::create_dir_all(&target)?;
    mount_with(row.kind, &target, row.kind, row.flags, row.data)
}

fn mount_with(source: &str, target: &str, kind: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = std::ffi::CString::new(data)?;
    mount(source, target, kind, flags, Some(data.as_c_str()))
        .map_err(|error| io::Error::other(format!("cannot mount {kind} on {target}: {}", io::Error::from(error))))
}

/// Builds the tree and makes it this process's root.
pub fn enter(config: &BootConfig) -> Result<()> {
    mount_with(HOST_ROOT_TAG, LOWER, "virtiofs", MountFlags::RDONLY, "")?;
    mount_with("upper", UPPER, "tmpfs", MountFlags::empty(), "mode=755,size=75%")?;
    for directory in ["/upper/files", "/upper/work"] {
        fs::create_dir(directory).with_context(|| format!("cannot create {directory}"))?;
    }
    let layers = format!("lowerdir={LOWER},upperdir={UPPER}/files,workdir={UPPER}/work");
    mount_with("root", ROOT, "overlay", MountFlags::empty(), &layers)?;
    FINAL.iter().try_for_each(|row| mount_row(ROOT, row))?;
    mount_modules(&config.modules).context("cannot show the kernel's modules")?;
    for (index, share) in config.shares.iter().enumerate() {
        mount_share(index, share).with_context(|| format!("cannot show the shared directory {}", share.display()))?;
    }
    switch().context("cannot switch to the machine's root")
}

/// So that `modprobe` works in the machine; it shows the modules of this kernel, whatever the host's kernel is.
fn mount_modules(modules: &Path) -> Result<()> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let source = format!("{LOWER}{}/lib/modules/{release}", modules.display());
    let target = format!("{ROOT}/lib/modules/{release}");
    fs::create_dir_all(&target)?;
    mount_bind(&source, &target).with_context(|| format!("cannot bind {source}"))?;
    Ok(())
}

fn mount_share(index: usize, share: &Path) -> Result<()> {
    let target = format!("{ROOT}{}", share.display());
    fs::create_dir_all(&target)?;
    mount_with(&share_tag(index), &target, "virtiofs", MountFlags::empty(), "")?;
    Ok(())
}

fn switch() -> Result<()> {
    std::env::set_current_dir(ROOT)?;
    mount_move(".", "/")?;
    rustix::process::chroot(".")?;
    std::env::set_current_dir("/")?;
    Ok(())
}

/// Turns every controller on for the children of the root cgroup, and moves this process and all that will come from it into a leaf.
pub fn prepare_cgroups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let leaf = root.join("init");
    fs::create_dir(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), "0")?;
    let controllers = fs::read_to_string(root.join("cgroup.controllers"))?;
    let enable: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    fs::write(root.join("cgroup.subtree_control"), enable.join(" "))?;
    Ok(())
}

/// Mounts the data disk, which the host has formatted.
pub fn mount_data_disk() -> Result<()> {
    fs::create_dir_all(DATA_DIRECTORY).with_context(|| format!("cannot create {DATA_DIRECTORY}"))?;
    mount_with(DATA_DISK, DATA_DIRECTORY, "ext4", MountFlags::empty(), "discard")?;
    Ok(())
}

/// Unmounts the data disk, if there is one: what was written is then on the host's disk.
pub fn unmount_data_disk() {
    // Not mounted is the ordinary case, and when it is busy the kernel's sync has to do.
    let _ = rustix::mount::unmount(DATA_DIRECTORY, rustix::mount::UnmountFlags::empty());
}
