//! How long the host lets the thread that serves the devices run at once: shortly, so that its turn comes soon.

use libc::sched_attr;

/// The least that the host gives, in nanoseconds (Linux 6.12, `kernel/sched/fair.c`). Whoever wants little at once comes before those who want
/// more: what the guest asks of its devices is then done while its vCPU still computes, on a host that has no CPU to spare for it.
const SLICE_NS: u64 = 100_000;

/// The length of the structure's first version, in bytes.
const LEN: u32 = 48;

/// Gives the calling thread that slice, and none of those that it has started. A system that knows no slices of a thread's own ignores it, and
/// one that refuses loses nothing but this.
pub fn shorten() {
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
