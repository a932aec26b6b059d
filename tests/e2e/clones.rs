//! Clones of one template are as different as computers that were switched on one after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tests::host::Host;
use tests::running::Running;

use crate::fixture::host;

/// How far a clone's clock may be from the host's.
const CLOCK_ERROR_MAX: Duration = Duration::from_millis(10);

/// Prints what must be different in every clone, a line each: what is random, its name, and where things are in its memory.
const IDENTITY: &str = "\
head -c 32 /dev/urandom | hexdump -v -e '32/1 \"%02x\"'; echo
cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid /etc/hostname
hexdump -v -e '1/1 \"%02x\"' /proc/self/auxv; echo";

/// The same, by Python, whose own generators are seeded when it starts.
const PYTHON_IDENTITY: &str = "\
import os, random, uuid
print(open('/dev/urandom', 'rb').read(32).hex())
print(os.getrandom(32).hex())
print(uuid.uuid4())
print(open('/proc/sys/kernel/random/boot_id').read().strip())
print(open('/proc/sys/kernel/random/uuid').read().strip())
print(os.uname().nodename)
print(open('/proc/self/auxv', 'rb').read().hex())
print(random.random())
print(hex(id(object())))";

/// Answers each line with the wall clock and the monotonic clock, in nanoseconds.
const CLOCKS: &str = "\
import sys, time
for line in sys.stdin: print(time.time_ns(), time.monotonic_ns(), flush=True)";

/// Runs `count` clones whose processes print lines; no two lines of all of them may be the same.
#[track_caller]
fn check_differ(count: usize, image: &str, command: &[&str], lines: usize) {
    let mut seen = BTreeSet::new();
    for number in 0..count {
        let options = ["--cpu", "1", "--memory", "64"];
        let text = host().run(&options, image, command).ended_with(0).text();
        assert_eq!(text.lines().count(), lines, "{text}");
        for line in text.lines() {
            assert!(seen.insert(line.to_owned()), "clone {number} repeats {line}");
        }
    }
}

#[test]
fn a_hundred_clones_draw_different_random_numbers() {
    check_differ(100, "busybox", &["sh", "-c", IDENTITY], 5);
}

#[test]
fn the_random_numbers_of_programs_differ() {
    check_differ(10, "python", &["python3", "-I", "-S", "-c", PYTHON_IDENTITY], 9);
}

#[test]
fn clones_that_start_at_once_differ() {
    let script = "head -c 32 /dev/urandom | sha256sum; cat /proc/sys/kernel/random/boot_id; hostname";
    let runs: Vec<_> = std::thread::scope(|scope| {
        let run = || host().run(&["--memory", "64"], "busybox", &["sh", "-c", script]);
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut seen = BTreeSet::new();
    for ran in runs {
        let text = ran.ended_with(0).text();
        assert!(
            text.lines().all(|line| seen.insert(line.to_owned())),
            "{text}\n{seen:?}"
        );
    }
    assert_eq!(seen.len(), 30);
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// One reading of a clone's clocks, with the host's before and after.
struct Reading {
    host: [Duration; 2],
    wall: Duration,
    monotonic: Duration,
}

fn read(task: &mut Running) -> Reading {
    let before = wall_clock();
    task.say("");
    let line = task.line();
    let after = wall_clock();
    let (wall, monotonic) = line.split_once(' ').unwrap();
    let duration = |text: &str| Duration::from_nanos(text.parse().unwrap());
    Reading {
        host: [before, after],
        wall: duration(wall),
        monotonic: duration(monotonic),
    }
}

fn clock_task(host: &Host, name: &str) -> Running {
    Running::start(
        host,
        name,
        &["--memory", "64"],
        "python",
        &["python3", "-I", "-S", "-c", CLOCKS],
    )
}

#[test]
fn the_wall_clock_is_the_hosts() {
    for name in ["clock-1", "clock-2", "clock-3"] {
        let mut task = clock_task(host(), name);
        for _ in 0..20 {
            let Reading {
                host: [before, after],
                wall,
                ..
            } = read(&mut task);
            assert!(
                wall + CLOCK_ERROR_MAX >= before && wall <= after + CLOCK_ERROR_MAX,
                "{before:?} {wall:?} {after:?}"
            );
        }
        let _ = task.end().ended_with(0);
    }
}

#[test]
fn the_monotonic_clock_runs_on_from_the_boot_of_the_template_at_the_hosts_pace() {
    let host = Host::start(&["--pool", "0"]).unwrap();
    host.load("python").unwrap();
    let begin = Instant::now();
    let _ = host.ran(&["template", "build"]).ended_with(0);
    let booting = begin.elapsed();
    // Each clone is further away from the template than the one before.
    for name in ["first", "second", "third"] {
        let begin = Instant::now();
        let mut task = clock_task(&host, name);
        let first = read(&mut task);
        assert!(first.monotonic > Duration::ZERO);
        assert!(
            first.monotonic <= booting + begin.elapsed(),
            "the time between counts: {:?}",
            first.monotonic
        );
        let second = read(&mut task);
        let passed = second.monotonic.checked_sub(first.monotonic).unwrap();
        let at_least = second.host[0].saturating_sub(first.host[1]);
        let at_most = second.host[1].saturating_sub(first.host[0]);
        assert!(
            passed + CLOCK_ERROR_MAX >= at_least && passed <= at_most + CLOCK_ERROR_MAX,
            "{at_least:?} {passed:?} {at_most:?}"
        );
        let _ = task.end().ended_with(0);
    }
}

#[test]
fn a_second_of_sleep_is_one_of_the_hosts() {
    let program = "\
import sys, time
sys.stdin.readline()
begin = time.monotonic_ns()
time.sleep(1)
print(time.monotonic_ns() - begin, flush=True)";
    let command = ["python3", "-I", "-S", "-c", program];
    let mut task = Running::start(host(), "sleeper", &["--memory", "64"], "python", &command);
    let begin = Instant::now();
    task.say("");
    let slept = Duration::from_nanos(task.line().parse().unwrap());
    let elapsed = begin.elapsed();
    assert!(slept >= Duration::from_secs(1), "{slept:?}");
    assert!(
        slept <= elapsed + CLOCK_ERROR_MAX,
        "{slept:?} while the host counted {elapsed:?}"
    );
    let _ = task.end().ended_with(0);
}

#[test]
fn timers_fire_one_after_the_other() {
    // Each thread's sleep is a timer of the kernel's: all are set before the first is due.
    let program = "\
import threading, time
begin = time.monotonic()
woken = {}
def sleep(due):
    time.sleep(max(0, begin + due - time.monotonic()))
    woken[due] = time.monotonic() - begin
threads = [threading.Thread(target=sleep, args=(1 + number / 10,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
for due in sorted(woken): print(due, woken[due])";
    let command = ["python3", "-I", "-S", "-c", program];
    let text = host().run(&["--memory", "64"], "python", &command).ended_with(0).text();
    let timers: Vec<(f64, f64)> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(due, woken)| (due.parse().unwrap(), woken.parse().unwrap()))
        .collect();
    assert_eq!(timers.len(), 20);
    assert!(timers.iter().all(|(due, woken)| woken >= due), "too early:\n{text}");
    let last_due = timers.last().unwrap().0;
    let awake_before_the_last = timers.iter().filter(|(_, woken)| *woken < last_due).count();
    assert!(awake_before_the_last >= 10, "late or all at once:\n{text}");
}
