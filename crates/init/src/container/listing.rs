//! What runs in a container (proc_pid_stat(5), proc_pid_status(5)).

use std::collections::HashMap;
use std::fs;
use std::io::Read;

use protocol::guest::{LISTED_COMMAND_LEN_MAX, LISTED_MAX, ListedProcess};
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::Cgroup;

/// A tick of the kernel's times, in microseconds: Linux shows programs a hundred a second whatever its own clock has (`USER_HZ`).
const TICK_US: u64 = 10_000;

/// A page on x86-64, in bytes.
const PAGE_BYTES: u64 = 4096;

/// Below this the kernel's count of a process's pages says little: each of its three parts lies in counters of each CPU that may
/// differ from the sum by 32 pages (`include/linux/mm.h`, `get_mm_counter`; `lib/percpu_counter.c`), with 16 CPUs 6 MiB.
const COUNTED_BYTES_MIN: u64 = 8 << 20;

/// A process, and its numbers and its parent's as the guest agent has them.
#[derive(Debug)]
struct Found {
    number: u32,
    parent: u32,
    process: ListedProcess,
}

/// The processes in `cgroup`.
pub fn list(cgroup: &Cgroup) -> Vec<ListedProcess> {
    let now = clock_gettime(ClockId::Boottime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    let now_us = part(now.tv_sec) * 1_000_000 + part(now.tv_nsec) / 1000;
    let mut numbers = cgroup.processes();
    numbers.sort_unstable();
    numbers.truncate(LISTED_MAX);
    // One that ended meanwhile is not found.
    let found: Vec<Found> = numbers.into_iter().filter_map(|number| find(number, now_us)).collect();
    with_parents(found)
}

/// Names each parent as the container has it.
fn with_parents(found: Vec<Found>) -> Vec<ListedProcess> {
    let inside: HashMap<u32, u32> = found.iter().map(|found| (found.number, found.process.pid)).collect();
    let listed = found.into_iter().map(|found| ListedProcess {
        parent: inside.get(&found.parent).copied().unwrap_or(0),
        ..found.process
    });
    listed.collect()
}

fn find(number: u32, now_us: u64) -> Option<Found> {
    let read = |file: &str| fs::read(format!("/proc/{number}/{file}")).ok();
    let stat = read("stat")?;
    let status = read("status")?;
    let mut command = Vec::new();
    let arguments = fs::File::open(format!("/proc/{number}/cmdline")).ok()?;
    let limit = u64::try_from(LISTED_COMMAND_LEN_MAX).unwrap_or(0);
    // Of a process that ended meanwhile there are no arguments.
    let _ = arguments.take(limit).read_to_end(&mut command);
    let mut found = parse_stat(&String::from_utf8_lossy(&stat), now_us)?;
    read_status(&String::from_utf8_lossy(&status), &mut found.process);
    if found.process.memory_bytes < COUNTED_BYTES_MIN
        && let Some(exact) = read("smaps_rollup").and_then(|text| resident_bytes(&String::from_utf8_lossy(&text)))
    {
        found.process.memory_bytes = exact;
    }
    found.number = number;
    if !command.is_empty() {
        found.process.command = arguments_of(&command);
    }
    Some(found)
}

/// The arguments as the kernel has them, a zero byte behind each.
fn arguments_of(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let arguments = bytes.split(|byte| *byte == 0);
    arguments
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

/// The line of `/proc/PID/stat`, read so long after the boot: its second field is in brackets, and may hold anything.
fn parse_stat(line: &str, now_us: u64) -> Option<Found> {
    let name = line.get(line.find('(')? + 1..line.rfind(')')?)?;
    let rest: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
    // The third field is the first here.
    let field = |number: usize| rest.get(number - 3)?.parse::<u64>().ok();
    let us = |ticks: u64| ticks.saturating_mul(TICK_US);
    Some(Found {
        number: 0,
        parent: u32::try_from(field(4)?).ok()?,
        process: ListedProcess {
            cpu_us: us(field(14)?.saturating_add(field(15)?)),
            age_us: now_us.saturating_sub(us(field(22)?)),
            memory_bytes: field(24)?.saturating_mul(PAGE_BYTES),
            command: vec![name.to_owned()],
            ..ListedProcess::default()
        },
    })
}

/// What only `/proc/PID/status` tells: the number inside the container, which is the last, and the effective user.
fn read_status(text: &str, process: &mut ListedProcess) {
    let words = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect::<Vec<u32>>()
    };
    process.pid = words("NSpid:").last().copied().unwrap_or(0);
    process.uid = words("Uid:").get(1).copied().unwrap_or(0);
}

/// What of a process lies in memory, in bytes, by its page tables (`/proc/PID/smaps_rollup`); nothing of one that has none.
fn resident_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let line =
            "41 (a) S (b) S 40 41 41 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 400 2465792 3 18446744073709551615 1";
        let found = parse_stat(line, 10_000_000).unwrap();
        let process = &found.process;
        assert_eq!(found.parent, 40);
        assert_eq!(
            (process.cpu_us, process.age_us, process.memory_bytes),
            (2_000_000, 6_000_000, 12_288)
        );
        assert_eq!(process.command, ["a) S (b"]);
    }

    #[test]
    fn its_number_is_the_containers() {
        let mut process = ListedProcess::default();
        read_status("Name:\tx\nUid:\t0\t1000\t0\t0\nNSpid:\t41\t7\n", &mut process);
        assert_eq!((process.pid, process.uid), (7, 1000));
        assert_eq!(arguments_of(b"a\0b c\0\0"), ["a", "b c", ""]);
    }

    #[test]
    fn a_small_process_is_measured_by_its_page_tables() {
        let text = "400000-7ffc0000 ---p 00000000 00:00 0    [rollup]\nRss:                 116 kB\nPss:                  12 kB\n";
        assert_eq!(resident_bytes(text), Some(116 << 10));
        assert_eq!(resident_bytes(""), None);
    }

    #[test]
    fn parents_are_named_as_the_container_has_them() {
        let found = |number, parent, pid| Found {
            number,
            parent,
            process: ListedProcess {
                pid,
                ..ListedProcess::default()
            },
        };
        let listed = with_parents(vec![found(50, 1, 1), found(51, 50, 2)]);
        assert_eq!(listed.iter().map(|process| process.parent).collect::<Vec<_>>(), [0, 1]);
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in ".{0,80}") {
            let _ = parse_stat(&line, 0);
            read_status(&line, &mut ListedProcess::default());
            let _ = resident_bytes(&format!("Rss:{line}"));
        }
    }
}
