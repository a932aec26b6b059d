//! Processes: fork into new namespaces and a cgroup, close what is not needed, execute.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr;

use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use rustix::thread::{ThreadNameSpaceType, move_into_thread_name_spaces};

use super::check;

/// The namespaces that every container has for itself from its first instruction on. Its cgroup namespace follows when it is
/// in its cgroup; the network is shared with the guest, since the microVM is the boundary.
const NAMESPACES: libc::c_int = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;

/// `CLONE_INTO_CGROUP` (linux/sched.h), which does not fit the C library's type for it.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Fork {
    /// The new process.
    Child,
    /// The process that forked, and whom it got.
    Parent(Pid),
}

/// Forks a process into new namespaces and the cgroup whose directory is open as `cgroup`.
///
/// # Errors
/// The kernel's.
pub fn fork_container(cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    fork(CLONE_INTO_CGROUP | unsigned(NAMESPACES)?, unsigned(cgroup.as_raw_fd())?)
}

/// Forks a process into the PID namespace of `process`, a pidfd, and the cgroup whose directory is open as `cgroup`. It has the guest agent's other
/// namespaces, and joins those of `process` itself.
///
/// # Errors
/// The kernel's.
pub fn fork_beside(process: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> io::Result<Fork> {
    // What is changed is where children go, not where this process is.
    let children_go_to = |process| move_into_thread_name_spaces(process, ThreadNameSpaceType::PROCESS_ID);
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    children_go_to(process)?;
    let forked = fork(CLONE_INTO_CGROUP, unsigned(cgroup.as_raw_fd())?);
    if !matches!(forked, Ok(Fork::Child)) {
        children_go_to(own.as_fd())?;
    }
    forked
}

/// Forks a process that is another guest agent.
///
/// # Errors
/// The kernel's.
pub fn fork_helper() -> io::Result<Fork> {
    fork(0, 0)
}

/// Forks.
///
/// The guest agent has one thread only, so the child may do whatever the parent may. It must never return to the parent's code: it
/// holds copies of everything that the parent owns.
fn fork(flags: u64, cgroup: u64) -> io::Result<Fork> {
    // SAFETY: `clone_args` is plain integers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.exit_signal = unsigned(libc::SIGCHLD)?;
    arguments.cgroup = cgroup;
    // SAFETY: without CLONE_VM and a stack this is a fork: the child gets a copy of everything. No other thread exists whose
    // locks it could inherit. The arguments outlive the call and their size is given.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of_val(&arguments)) };
    let process = i32::try_from(check(returned)?).map_err(io::Error::other)?;
    Ok(Pid::from_raw(process).map_or(Fork::Child, Fork::Parent))
}

/// A number of the C library as `clone_args` has it.
fn unsigned(number: libc::c_int) -> io::Result<u64> {
    u64::try_from(number).map_err(io::Error::other)
}

/// Makes the cgroup that this process is in the root of what it sees of the cgroup tree.
///
/// # Errors
/// The kernel's.
pub fn unshare_cgroup() -> io::Result<()> {
    // SAFETY: a cgroup namespace changes no memory and no descriptor.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })?;
    Ok(())
}

/// Closes every descriptor but the standard three and those in `keep`.
///
/// # Errors
/// The kernel's.
pub fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    for (first, last) in gaps(keep) {
        // SAFETY: the caller is a child that will never use, or drop, an owner of one of these descriptors.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    }
    Ok(())
}

/// The ranges of descriptor numbers above the standard three that `keep` leaves out, both ends included.
fn gaps(keep: &[RawFd]) -> Vec<(u32, u32)> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = 3;
    for fd in kept.into_iter().filter(|fd| *fd >= 3) {
        if fd > next {
            gaps.push((next, fd - 1));
        }
        next = fd + 1;
    }
    gaps.push((next, u32::MAX));
    gaps
}

/// Replaces this process by the program at `path`. Returns only where that failed, with the reason.
pub fn execute(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer and point to strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// The shortest slice that the kernel gives, in nanoseconds, and the greatest weight (Linux 6.12, `kernel/sched/fair.c`).
const SLICE_NS: u64 = 100_000;
const NICENESS: i32 = -20;

/// The length of the first version of what [`go_first`] tells the kernel, in bytes.
const ATTRIBUTES_LEN: u32 = 48;

/// Lets this process, and none that it forks, run before others as soon as it wakes (sched(7), `PREEMPT_SHORT`).
///
/// It stays a usual process: a guest with a thousandth of a vCPU stands still for seconds, and the kernel counts those as time that somebody had. It
/// would then find processes of a real-time policy too greedy, and let the usual ones run before them.
///
/// # Errors
/// The kernel's.
pub fn go_first() -> io::Result<()> {
    let attributes = libc::sched_attr {
        size: ATTRIBUTES_LEN,
        sched_policy: 0,
        sched_flags: 1, // SCHED_FLAG_RESET_ON_FORK
        sched_nice: NICENESS,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads as much of the structure as its first field says, and keeps no pointer to it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) })?;
    Ok(())
}

/// Ends this process at once: nothing is flushed, nothing is dropped.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: nothing of this process is used afterwards.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keep: &[RawFd], expected: &[(u32, u32)]) {
        assert_eq!(gaps(keep), expected);
    }

    #[test]
    fn everything_above_the_standard_streams_goes() {
        check(&[], &[(3, u32::MAX)]);
        check(&[0, 2], &[(3, u32::MAX)]);
    }

    #[test]
    fn kept_descriptors_split_the_range() {
        check(&[9, 5], &[(3, 4), (6, 8), (10, u32::MAX)]);
    }

    #[test]
    fn neighbours_and_repetitions_leave_no_empty_range() {
        check(&[3, 4, 4], &[(5, u32::MAX)]);
    }
}
