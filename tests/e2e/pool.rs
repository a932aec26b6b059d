//! The pool: clones wait, are taken, are replaced, and leave nothing behind.

use std::process::Command;
use std::sync::LazyLock;

use tests::host::Host;
use tests::leftovers::{Held, processes};
use tests::patience::until;
use tests::running::Running;

use crate::fixture::agent;

const SIZE: usize = 3;

/// The host agent of the tests that do not end theirs.
static HOST: LazyLock<Host> = LazyLock::new(full_pool);

/// A host agent whose pool is full.
fn full_pool() -> Host {
    let host = Host::start(&["--pool", "3"]).unwrap();
    host.load("busybox").unwrap();
    fill(&host);
    host
}

fn fill(host: &Host) {
    host.wait_for_pool(3);
    assert_eq!(processes(&host.runtime()).unwrap().len(), SIZE);
}

/// [`HOST`], whose pool is full again.
fn host() -> &'static Host {
    fill(&HOST);
    &HOST
}

fn kill(process: u32) {
    let killed = Command::new("kill").args(["-KILL", &process.to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn a_task_takes_a_clone_that_waits_and_the_pool_fills_up_again() {
    let host = host();
    let before = processes(&host.runtime()).unwrap();
    let mut task = Running::start(host, "taker", &[], "busybox", &["sh", "-c", "echo ready; cat"]);
    assert_eq!(task.line(), "ready");
    assert_eq!(host.task("taker")["origin"], "pool");
    host.wait_for_pool(3);
    let after = processes(&host.runtime()).unwrap();
    assert_eq!(after.len(), SIZE + 1);
    assert!(
        before.iter().all(|process| after.contains(process)),
        "{before:?} {after:?}"
    );
    let _ = task.end().ended_with(0);
    assert_eq!(processes(&host.runtime()).unwrap().len(), SIZE);
}

#[test]
fn clones_of_the_pool_take_any_shape() {
    let host = host();
    let script = "nproc; cat /sys/fs/cgroup/memory.max";
    for (cpu, memory, expected) in [("0.5", "32", "1\n33554432\n"), ("2", "300", "2\n314572800\n")] {
        host.wait_for_pool(3);
        let options = ["--cpu", cpu, "--memory", memory];
        let (said, origin) = host.run_and_tell_origin(&options, "busybox", &["sh", "-c", script]);
        assert_eq!((said.as_str(), origin.as_str()), (expected, "pool"));
    }
}

#[test]
fn more_starts_than_clones_that_wait_are_served_as_well() {
    let host = host();
    std::thread::scope(|scope| {
        for _ in 0..3 * SIZE {
            scope.spawn(|| host.run(&["--memory", "32"], "busybox", &["true"]).ended_with(0));
        }
    });
    host.wait_for_pool(3);
    assert_eq!(host.template_list()[0]["fallbacks"], 0);
    assert_eq!(processes(&host.runtime()).unwrap().len(), SIZE);
}

#[test]
fn a_clone_that_is_killed_while_it_waits_is_replaced() {
    let host = host();
    let victim = processes(&host.runtime()).unwrap()[0];
    kill(victim);
    until("it is replaced", || {
        let members = processes(&host.runtime()).unwrap();
        (members.len() == SIZE && !members.contains(&victim)).then_some(())
    });
    host.wait_for_pool(3);
    let held = Held::now(&host.runtime()).unwrap();
    assert_eq!((held.cgroups.len(), held.files.len()), (SIZE, SIZE), "{held:?}");
    let (_, origin) = host.run_and_tell_origin(&[], "busybox", &["true"]);
    assert_eq!(origin, "pool");
}

#[test]
fn another_template_drains_the_pool() {
    let host = host();
    let before = processes(&host.runtime()).unwrap();
    let _ = host.ran(&["template", "build", "--force"]).ended_with(0);
    until("all are replaced", || {
        let members = processes(&host.runtime()).unwrap();
        (members.len() == SIZE && members.iter().all(|process| !before.contains(process))).then_some(())
    });
    until("the old template goes", || {
        (host.template_list().len() == 1).then_some(())
    });
}

#[test]
fn the_host_agents_end_leaves_nothing() {
    let host = full_pool();
    let runtime = host.runtime();
    assert_eq!(host.stop().unwrap(), Some(0));
    let held = Held::now(&runtime).unwrap();
    assert!(held.is_nothing(), "{held:?}");
}

#[test]
fn a_host_agent_that_was_killed_leaves_only_its_tasks_to_its_successor() {
    let host = full_pool();
    let runtime = host.runtime();
    let mut task = Running::start(&host, "orphan", &[], "busybox", &["sh", "-c", "echo ready; cat"]);
    assert_eq!(task.line(), "ready");
    let directory = host.kill().unwrap();
    assert_ne!(task.end().code, 0);
    let host = Host::start_in(directory, agent(), &["--pool", "0"]).unwrap();
    assert_eq!(processes(&runtime).unwrap().len(), 1);
    let _ = host.ran(&["stop", "-t", "0", "orphan"]).ended_with(0);
    let held = Held::now(&runtime).unwrap();
    assert_eq!(
        held,
        Held {
            // The template stays, and waits for the next task.
            mounts: held.mounts.clone(),
            ..Held::default()
        }
    );
    assert_eq!(held.mounts.len(), 1);
    assert_eq!(host.stop().unwrap(), Some(0));
    let held = Held::now(&runtime).unwrap();
    assert!(held.is_nothing(), "{held:?}");
}
