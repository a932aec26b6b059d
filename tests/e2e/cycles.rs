//! Tasks that come and go, many times and several at once: nothing of them is left, on the host or in the host agent.
//!
//! `MOTE_CYCLES` says how many; `MOTE_CYCLES=1000 cargo xtask e2e cycles` takes some minutes.

use std::fs;
use std::path::Path;
use std::thread;

use tests::host::Host;
use tests::leftovers::{Held, agent_cgroup};
use tests::patience::until;
use tests::wires::Wires;
use tests::world::World;

/// How many there are where nobody says.
const CYCLES: usize = 48;

/// How many come and go at the same time.
const AT_ONCE: usize = 4;

/// By how much the host agent's own memory may grow: what the allocator keeps, and what is remembered of each task, which is far less than what one
/// holds while it runs.
const GROWTH_MAX_KIB: usize = 4096;
const GROWTH_PER_TASK_MAX_KIB: usize = 2;

/// The most interfaces that may be there while no task is: those that wait in two networks, and two bridges.
const WAITING_MAX: usize = 34;

/// The network that some of them share.
const NETWORK: &str = "cycles";

/// The kinds of tasks: options, command, exit code.
const KINDS: [(&[&str], &[&str], i32); 6] = [
    (&[], &["true"], 0),
    (&["--network", NETWORK], &["false"], 1),
    (&["-p", "80", "-p", "53/udp"], &["true"], 0),
    (&["--network", "none"], &["no-such-program"], 127),
    (
        &["--memory", "96", "--cpu", "0.5"],
        &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"],
        137,
    ),
    (&["--tmpfs", "/t", "--volume", "/v"], &["touch", "/t/a", "/v/b"], 0),
];

/// What the host agent's process holds.
struct Agent {
    /// Files by their paths, everything else by its kind.
    descriptors: Vec<String>,
    threads: usize,
    /// Memory that is nobody else's and no file's, in KiB.
    memory_kib: usize,
}

impl Agent {
    fn now(runtime: &Path) -> Self {
        let processes = fs::read_to_string(agent_cgroup(runtime).join("cgroup.procs")).unwrap();
        let process = format!("/proc/{}", processes.lines().next().unwrap());
        let entries = fs::read_dir(format!("{process}/fd")).unwrap();
        let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let mut descriptors: Vec<String> = links
            .map(|link| {
                link.to_string_lossy()
                    .trim_end_matches(|c: char| c.is_ascii_digit() || c == ']')
                    .to_owned()
            })
            .collect();
        descriptors.sort();
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            descriptors,
            threads: number("Threads:"),
            memory_kib: number("RssAnon:"),
        }
    }
}

/// Runs every `AT_ONCE`th of `cycles`, from `first` on.
fn run(host: &Host, first: usize, cycles: usize) {
    for cycle in (first..cycles).step_by(AT_ONCE) {
        let (options, command, code) = KINDS[cycle % KINDS.len()];
        let _ = host.run(options, "busybox", command).ended_with(code);
    }
}

#[test]
fn nothing_is_left_of_tasks_that_come_and_go() {
    let cycles = std::env::var("MOTE_CYCLES").map_or(CYCLES, |count| count.parse().unwrap());
    let world = World::make().unwrap();
    let host = world.host(&["--pool", "0"]).unwrap();
    let _ = host.ran(&["network", "create", NETWORK]).ended_with(0);
    // One of each kind, so that there is what lasts.
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let host = &host;
            scope.spawn(move || run(host, first, KINDS.len()));
        }
    });
    let runtime = host.runtime();
    let before = (Held::now(&runtime).unwrap(), Agent::now(&runtime));
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let host = &host;
            scope.spawn(move || run(host, first, cycles));
        }
    });
    // What a client had open is closed after it has its answer, and a thread that has nothing to do ends some time later.
    let after = until("the host agent has as much open as before, and no more threads", || {
        let now = Agent::now(&runtime);
        (now.descriptors == before.1.descriptors && now.threads <= before.1.threads).then_some(now)
    });
    assert_eq!(Held::now(&runtime).unwrap(), before.0);
    let growth = after.memory_kib.saturating_sub(before.1.memory_kib);
    println!("{cycles} tasks; the host agent's memory grew by {growth} KiB");
    assert!(
        growth <= GROWTH_MAX_KIB + GROWTH_PER_TASK_MAX_KIB * cycles,
        "{growth} KiB"
    );
    // Some interfaces wait for tasks to come; nothing leads to any of them.
    let wires = Wires::now(&world).unwrap();
    assert_eq!(wires.published(), Vec::<&str>::new());
    assert!(wires.interfaces.len() <= WAITING_MAX, "{wires:?}");
    let _ = host.ran(&["network", "rm", NETWORK]).ended_with(0);
    assert_eq!(host.stop().unwrap(), Some(0));
    assert_eq!(Wires::now(&world).unwrap(), Wires::default());
}
