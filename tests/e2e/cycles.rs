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

/// What the host agent has open: files by their paths, everything else by its kind.
fn descriptors(runtime: &Path) -> Vec<String> {
    let processes = fs::read_to_string(agent_cgroup(runtime).join("cgroup.procs")).unwrap();
    let process = processes.lines().next().unwrap();
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let mut kinds: Vec<String> = links
        .map(|link| {
            link.to_string_lossy()
                .trim_end_matches(|c: char| c.is_ascii_digit() || c == ']')
                .to_owned()
        })
        .collect();
    kinds.sort();
    kinds
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
    let before = (Held::now(&host.runtime()).unwrap(), descriptors(&host.runtime()));
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            let host = &host;
            scope.spawn(move || run(host, first, cycles));
        }
    });
    // What a client had open is closed after it has its answer.
    until("the host agent has as much open as before", || {
        (descriptors(&host.runtime()) == before.1).then_some(())
    });
    assert_eq!(Held::now(&host.runtime()).unwrap(), before.0);
    // Some interfaces wait for tasks to come; nothing leads to any of them.
    let wires = Wires::now(&world).unwrap();
    assert_eq!(wires.published(), Vec::<&str>::new());
    assert!(wires.interfaces.len() <= WAITING_MAX, "{wires:?}");
    let _ = host.ran(&["network", "rm", NETWORK]).ended_with(0);
    assert_eq!(host.stop().unwrap(), Some(0));
    assert_eq!(Wires::now(&world).unwrap(), Wires::default());
}
