//! The figures of one task, put together.

use std::path::Path;

use api::stats::{MemoryStats, MemoryUse, TaskStats};
use api::task::Task;

use super::files::{StatsError, read_if_there};
use super::process;
use crate::clock;
use crate::launch::Whereabouts;
use crate::launch::cgroup::counters;

/// Where the kernel tells of processes.
const PROC: &str = "/proc";

/// Reads what a task uses whose microVM is at `whereabouts`; `None` where that has ended.
///
/// The kernel walks through all of the guest's memory, so this may take milliseconds.
///
/// # Errors
/// [`StatsError`] where the kernel does not tell.
pub fn read(task: &Task, whereabouts: &Whereabouts) -> Result<Option<TaskStats>, StatsError> {
    let sampled_ns = clock::monotonic_ns();
    let cgroup = |name| read_if_there(&whereabouts.cgroup.join(name));
    let directory = Path::new(PROC).join(whereabouts.process.to_string());
    let (Some(footprint), Some(cpu)) = (process::footprint(&directory)?, cgroup("cpu.stat")?) else {
        return Ok(None);
    };
    let mapped = footprint.mapped;
    let memory = MemoryStats {
        total: sum(mapped.guest, mapped.vmm),
        guest: mapped.guest,
        vmm: mapped.vmm,
        kernel_bytes: cgroup("memory.stat")?.and_then(|text| counters::value(&text, "kernel")),
        // "max" where there is no bound.
        limit_bytes: cgroup("memory.max")?.and_then(|text| text.trim().parse().ok()),
    };
    Ok(Some(TaskStats {
        id: task.id.clone(),
        name: task.name.clone(),
        sampled_ns,
        accepted_ns: task.clock.accepted_ns.unwrap_or(sampled_ns),
        vcpu_milli: task.vcpu_milli,
        memory_mib: task.memory_mib,
        cpu: counters::cpu(&cpu),
        memory,
        scratch_bytes: footprint.disk_bytes,
    }))
}

fn sum(one: MemoryUse, other: MemoryUse) -> MemoryUse {
    MemoryUse {
        proportional_bytes: one.proportional_bytes + other.proportional_bytes,
        private_bytes: one.private_bytes + other.private_bytes,
        shared_bytes: one.shared_bytes + other.shared_bytes,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use api::task::{ClockPoints, Status};

    use super::*;

    fn task() -> Task {
        Task {
            id: "0".repeat(32),
            name: "job".into(),
            image: "app".into(),
            image_digest: String::new(),
            command: vec![],
            vcpu_milli: 250,
            memory_mib: 64,
            status: Status::Running,
            origin: None,
            created_unix_ms: 0,
            clock: ClockPoints::default(),
            ..Task::default()
        }
    }

    fn check(process: u32, files: &[(&str, &str)]) -> Option<TaskStats> {
        let cgroup = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(cgroup.path().join(name), text).unwrap();
        }
        let whereabouts = Whereabouts {
            process,
            cgroup: cgroup.path().to_owned(),
            counters: cgroup.path().join("counters"),
        };
        read(&task(), &whereabouts).unwrap()
    }

    #[test]
    fn a_process_is_told_with_its_cgroup() {
        let files = [
            ("cpu.stat", "usage_usec 7\nnr_periods 3\n"),
            ("memory.stat", "anon 1\nkernel 4096\n"),
            ("memory.max", "max\n"),
        ];
        let stats = check(std::process::id(), &files).unwrap();
        assert_eq!((stats.cpu.used_us, stats.cpu.periods), (7, 3));
        let memory = stats.memory;
        assert_eq!((memory.kernel_bytes, memory.limit_bytes), (Some(4096), None));
        assert!(memory.vmm.proportional_bytes > 0);
        let parts = memory.guest.proportional_bytes + memory.vmm.proportional_bytes;
        assert_eq!(memory.total.proportional_bytes, parts);
    }

    #[test]
    fn a_bound_on_memory_is_told() {
        let files = [("cpu.stat", ""), ("memory.max", "134217728\n")];
        let memory = check(std::process::id(), &files).unwrap().memory;
        assert_eq!((memory.kernel_bytes, memory.limit_bytes), (None, Some(128 << 20)));
    }

    #[test]
    fn what_has_ended_has_no_figures() {
        assert_eq!(check(std::process::id(), &[]), None);
        // The largest number that Linux gives to a process is 2^22 (proc(5), pid_max).
        assert_eq!(check((1 << 22) + 1, &[("cpu.stat", "")]), None);
    }
}
