//! What a microVM has used, by its control group and its VMM's counters: both outlive the VMM, and the host agent.

use std::fs;
use std::path::Path;

use protocol::vmm::Counters;

use super::cgroup::counters::cpu;
use crate::record::Used;

/// What the microVM with this control group and this file of counters has used until now; `None` where there is no such control group any more.
#[must_use]
pub fn read(cgroup: &Path, counters: &Path) -> Option<Used> {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).ok()?;
    // A VMM that never came to make the file has moved nothing.
    let bytes = fs::read(counters).unwrap_or_default();
    let counters = Counters::parse(&bytes).unwrap_or_default();
    Some(Used {
        cpu_us: cpu(&stat).used_us,
        received_bytes: counters.received_bytes,
        sent_bytes: counters.sent_bytes,
        read_bytes: counters.read_bytes,
        written_bytes: counters.written_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_and_counters_are_put_together() {
        let folder = tempfile::tempdir().unwrap();
        let (cgroup, counters) = (folder.path().join("cgroup"), folder.path().join("counters"));
        assert_eq!(read(&cgroup, &counters), None);
        fs::create_dir(&cgroup).unwrap();
        fs::write(cgroup.join("cpu.stat"), "usage_usec 7\nuser_usec 3\n").unwrap();
        let mut used = Used {
            cpu_us: 7,
            ..Used::default()
        };
        assert_eq!(read(&cgroup, &counters), Some(used));
        let numbers = [1_u64, 2, 3, 4].map(u64::to_ne_bytes).concat();
        fs::write(&counters, numbers).unwrap();
        (used.received_bytes, used.sent_bytes) = (1, 2);
        (used.read_bytes, used.written_bytes) = (3, 4);
        assert_eq!(read(&cgroup, &counters), Some(used));
    }
}
