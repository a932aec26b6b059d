//! What running tasks use of their host, as far as the host can see: nothing here is asked of a guest.

use serde::{Deserialize, Serialize};

/// The answer to a `GET` of [`crate::route::STATS`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatsList {
    /// Of the tasks that have a microVM, newest first.
    pub stats: Vec<TaskStats>,
}

/// What one task uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStats {
    /// The task's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When this was read, on the host's `CLOCK_MONOTONIC` in nanoseconds.
    pub sampled_ns: u64,
    /// When the request for the task was accepted, on the same clock.
    pub accepted_ns: u64,
    /// CPU that was asked for, in thousandths of a vCPU.
    pub vcpu_milli: u32,
    /// Memory of the container that was asked for, in MiB.
    pub memory_mib: u32,
    /// CPU time of the VMM: guest and devices.
    pub cpu: CpuStats,
    /// Memory of the VMM: all of it, the guest's included.
    pub memory: MemoryStats,
    /// What its writable layer takes on the host's disk, in bytes.
    pub scratch_bytes: u64,
}

/// CPU time since the start, in microseconds, as the control group counts it (`cpu.stat`, Documentation/admin-guide/cgroup-v2.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// Used in all.
    pub used_us: u64,
    /// Of that outside the kernel, the guest's own time included.
    pub user_us: u64,
    /// Of that in the host's kernel.
    pub system_us: u64,
    /// Periods of `cpu.max` that passed.
    pub periods: u64,
    /// Those of them in which the task wanted more than its share.
    pub throttled_periods: u64,
    /// How long it was kept waiting for its share.
    pub throttled_us: u64,
}

/// Memory on the host, where the VMM's mappings are the measure (`/proc/PID/smaps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// All of it: the sum of [`Self::guest`] and [`Self::vmm`].
    pub total: MemoryUse,
    /// What is behind the guest's memory: its own pages, pages of the template, pages of rootfs snapshots.
    pub guest: MemoryUse,
    /// What the VMM's process takes beside that: program, heap, stacks.
    pub vmm: MemoryUse,
    /// What the kernel holds for the VMM beside that, in bytes: page tables, its own and KVM's, stacks, sockets. Absent where the kernel does not tell.
    pub kernel_bytes: Option<u64>,
    /// The bound on the whole VMM, in bytes; absent where there is none.
    pub limit_bytes: Option<u64>,
}

/// Some memory, in bytes, by who else has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// The private pages, and of each shared page a fair part: adding it up over all tasks counts nothing twice.
    pub proportional_bytes: u64,
    /// Pages that this task alone has, such as its copies of the template's: they are free when it ends.
    pub private_bytes: u64,
    /// Pages of files, in full: of the template, of rootfs snapshots, of programs. The host has them once, whoever maps them.
    pub shared_bytes: u64,
}
