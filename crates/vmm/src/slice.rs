//! How long the host lets a vCPU's thread run before others have their turn.

use libc::sched_attr;

/// A little more than the host's usual slice on any number of CPUs, in nanoseconds: whoever wakes with a shorter slice, as the host agent and this
/// process's device thread do, then runs at once where it would otherwise wait for the vCPU's slice to end (Linux 6.12, `kernel/sched/fair.c`,
/// `PREEMPT_SHORT`). Other guests have the same slice.
const SLICE_NS: u64 = 4_000_000;

/// The length of the structure's first version, in bytes.
const LEN: u32 = 48;

/// Gives the calling thread, which runs a vCPU, that slice. A system that knows no slices of a thread's own ignores it, and one that refuses loses
/// nothing but this.
pub fn take_long() {
    let attributes = sched_attr {
        size: LEN,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the system reads as much of the structure as its first field says, and keeps no pointer to it.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}
