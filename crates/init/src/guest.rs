//! Makes the booted guest a place where containers can run, and gives it the identity that the bootstrap message brings.

use std::env;
use std::fs;

use protocol::guest::Start;
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind, mount_change, mount_move};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::disks::DISKS;
use crate::failure::{Attempt, StepError};
use crate::mount::{Mount, mount_all};
use crate::sys::doorbell::Doorbell;
use crate::sys::ioctl::{self, Random};

/// The root of the guest's cgroup tree.
pub const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Where the guest's root is mounted once more, to be moved on top of itself.
const SECOND_ROOT: &str = "/second-root";

const NOTHING_SPECIAL: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);

/// What the guest agent itself sees. Containers get mounts of their own.
const MOUNTS: &[Mount] = &[
    Mount {
        kind: "proc",
        at: "/proc",
        flags: NOTHING_SPECIAL,
        data: c"",
    },
    Mount {
        kind: "sysfs",
        at: "/sys",
        flags: NOTHING_SPECIAL,
        data: c"",
    },
    Mount {
        kind: "devtmpfs",
        at: "/dev",
        flags: MountFlags::NOSUID,
        data: c"mode=0755",
    },
    Mount {
        kind: "cgroup2",
        at: CGROUP_ROOT,
        flags: NOTHING_SPECIAL,
        data: c"",
    },
    Mount {
        kind: "tmpfs",
        at: DISKS,
        flags: NOTHING_SPECIAL,
        data: c"mode=0755,size=64k",
    },
];

/// Memory may be asked for that is yet to be plugged: the kernel would refuse what is more than it has at that moment. Memory is compacted when
/// somebody needs it, not twice a second in advance: an idle guest takes no CPU. And network settings that Docker gives its containers: programs
/// need not be root to listen below port 1024 or to ping.
const SETTINGS: &[(&str, &str)] = &[
    ("/proc/sys/vm/overcommit_memory", "1"),
    ("/proc/sys/vm/compaction_proactiveness", "0"),
    ("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"),
    ("/proc/sys/net/ipv4/ping_group_range", "0 2147483647"),
];

/// Mounts, brings the loopback interface up, lets cgroups be limited: all that needs no message from the host.
///
/// # Errors
/// The first step that failed.
pub fn set_up() -> Result<(), StepError> {
    cover_initial_root()?;
    mount_all(MOUNTS)?;
    mount_change(DISKS, MountPropagationFlags::SHARED).attempting(|| format!("share {DISKS}"))?;
    enable_controllers()?;
    ioctl::bring_loopback_up().attempting(|| "bring the loopback interface up")?;
    for (path, value) in SETTINGS {
        fs::write(path, value).attempting(|| format!("write {path}"))?;
    }
    Ok(())
}

/// Makes this guest differ from every other clone of its template: entropy before anything that could use it, then the clock.
///
/// # Errors
/// The first step that failed.
pub fn identify(random: &Random, doorbell: &Doorbell, start: &Start) -> Result<(), StepError> {
    random.credit(&start.entropy).attempting(|| "credit entropy")?;
    // A guest that does not get a CPU between being told the time and setting its clock is not behind by that: its own time goes on meanwhile.
    let (told_ns, told_at_ns) = doorbell.wall_clock_ns(monotonic_ns);
    let now_ns = told_ns + monotonic_ns().saturating_sub(told_at_ns);
    clock_settime(ClockId::Realtime, timespec(now_ns)).attempting(|| "set the clock")
}

/// The guest's own time.
fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Puts a second mount of the root on top of the kernel's first one, from which `pivot_root` refuses to move away.
fn cover_initial_root() -> Result<(), StepError> {
    fs::create_dir_all(SECOND_ROOT).attempting(|| format!("create {SECOND_ROOT}"))?;
    mount_bind("/", SECOND_ROOT).attempting(|| format!("bind / to {SECOND_ROOT}"))?;
    env::set_current_dir(SECOND_ROOT).attempting(|| format!("enter {SECOND_ROOT}"))?;
    mount_move(".", "/").attempting(|| format!("move {SECOND_ROOT} to /"))?;
    rustix::process::chroot(".").attempting(|| "change to the new root")
}

/// Lets every controller that the kernel has be used below the root of the cgroup tree.
fn enable_controllers() -> Result<(), StepError> {
    let available = format!("{CGROUP_ROOT}/cgroup.controllers");
    let available = fs::read_to_string(&available).attempting(|| format!("read {available}"))?;
    let enabled = format!("{CGROUP_ROOT}/cgroup.subtree_control");
    fs::write(&enabled, enabling(&available)).attempting(|| format!("write {enabled}"))
}

/// The request that enables all of `controllers`, which are separated by spaces (cgroup-v2.rst, "cgroup.subtree_control").
fn enabling(controllers: &str) -> String {
    let requests: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
    requests.join(" ")
}

/// Nanoseconds since the epoch as the kernel takes them.
fn timespec(nanoseconds: u64) -> Timespec {
    const SECOND: u64 = 1_000_000_000;
    let parts = [nanoseconds / SECOND, nanoseconds % SECOND].map(u64::cast_signed);
    Timespec {
        tv_sec: parts[0],
        tv_nsec: parts[1],
    }
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
    fn controllers_are_enabled_by_name() {
        assert_eq!(enabling("cpuset cpu memory pids\n"), "+cpuset +cpu +memory +pids");
        assert_eq!(enabling("\n"), "");
    }

    #[test]
    fn the_clock_keeps_its_nanoseconds() {
        let time = timespec(1_700_000_000_000_000_042);
        assert_eq!((time.tv_sec, time.tv_nsec), (1_700_000_000, 42));
    }
}
