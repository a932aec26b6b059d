//! How much the host has: memory and CPUs.

use std::fs;

use crate::capacity::Room;
use crate::config::Config;

/// Where the kernel tells of memory (proc_meminfo(5)).
const MEMINFO: &str = "/proc/meminfo";

/// The host's memory, in MiB; 0 where the kernel does not tell.
#[must_use]
pub fn total_mib() -> u64 {
    parse(&fs::read_to_string(MEMINFO).unwrap_or_default()).unwrap_or_default()
}

fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

/// What tasks may have of this host.
#[must_use]
pub fn room(config: &Config) -> Room {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| u64::try_from(cpus.get()).unwrap_or(1));
    let memory_mib = total_mib().saturating_sub(config.memory_reserve_mib);
    Room {
        vcpu_milli: cpus * 1000 * u64::from(config.cpu_overcommit),
        memory_mib: memory_mib * u64::from(config.memory_overcommit),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_words_are_understood() {
        assert_eq!(
            super::parse("MemTotal:       16384000 kB\nMemFree: 1 kB\n"),
            Some(16000)
        );
        assert_eq!(super::parse("nonsense"), None);
    }
}
