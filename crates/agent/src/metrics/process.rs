//! The host agent's own process, as the kernel counts it (proc(5)).

use std::fs;

/// What the host agent's process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessReading {
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// When it was started, in seconds since the Unix epoch.
    pub started_seconds: f64,
}

/// Reads them; none where the kernel does not tell.
#[must_use]
pub fn read() -> Option<ProcessReading> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot_seconds = boot
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    let mut reading = parse(&stat, rustix::param::clock_ticks_per_second(), boot_seconds)?;
    reading.resident_bytes *= u64::try_from(rustix::param::page_size()).ok()?;
    // Less the one that is read with.
    reading.open_descriptors = u64::try_from(open).ok()?.saturating_sub(1);
    Some(reading)
}

/// Reads `/proc/PID/stat`; memory is in pages.
fn parse(stat: &str, ticks_per_second: u64, boot_seconds: u64) -> Option<ProcessReading> {
    // The second field is in parentheses and may have any characters, also these.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Fields are numbered from 1 in proc(5); these begin with the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| precise(ticks) / precise(ticks_per_second.max(1));
    Some(ProcessReading {
        cpu_seconds: seconds(field(14)? + field(15)?),
        resident_bytes: field(24)?,
        open_descriptors: 0,
        threads: field(20)?,
        started_seconds: precise(boot_seconds) + seconds(field(22)?),
    })
}

#[expect(clippy::cast_precision_loss, reason = "ticks and seconds are far below 2^53")]
const fn precise(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_have_anything_in_it() {
        let stat = "7 (mote) agent) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 1000 4096 33 18446744073709551615";
        let reading = parse(stat, 100, 1_000_000).unwrap();
        assert_eq!(
            (
                reading.cpu_seconds,
                reading.threads,
                reading.resident_bytes,
                reading.started_seconds
            ),
            (2.0, 9, 33, 1_000_010.0)
        );
        assert_eq!(parse("7 (mote", 100, 0), None);
        assert_eq!(parse("7 (mote) S 1", 100, 0), None);
    }

    #[test]
    fn the_own_process_can_be_read() {
        let reading = read().unwrap();
        assert!(reading.threads > 0 && reading.resident_bytes > 0 && reading.open_descriptors > 2);
    }
}
