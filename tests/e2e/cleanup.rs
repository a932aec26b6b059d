//! Nothing of a task is left when it is over, however it ended.

use std::process::Command;
use std::sync::LazyLock;

use tests::host::Host;
use tests::leftovers::{Held, processes};

use crate::fixture::IDLE;

/// The host agent of the tests that do not end theirs: it has run a task, and holds what lasts.
static HOST: LazyLock<Host> = LazyLock::new(|| {
    let host = Host::start(&IDLE).unwrap();
    host.load("busybox").unwrap();
    let _ = host.run(&[], "busybox", &["true"]).ended_with(0);
    host
});

/// What is held before and after `work` must be the same.
fn check(work: impl Fn(&Host)) {
    let before = Held::now(&HOST.runtime()).unwrap();
    assert!(before.processes.is_empty() && before.files.is_empty(), "{before:?}");
    work(&HOST);
    assert_eq!(Held::now(&HOST.runtime()).unwrap(), before);
}

#[test]
fn after_tasks_that_end_in_every_way() {
    check(|host| {
        let _ = host.run(&[], "busybox", &["false"]).ended_with(1);
        let _ = host.run(&[], "busybox", &["no-such-program"]).ended_with(127);
        let _ = host.run(&["-u", "nobody-knows"], "busybox", &["true"]).ended_with(125);
        let _ = host
            .run(
                &["--timeout", "1", "--stop-timeout", "0"],
                "busybox",
                &["sleep", "1000"],
            )
            .ended_with(137);
    });
}

#[test]
fn after_the_vmm_was_killed() {
    check(|host| {
        let script = "echo ready; exec sleep 1000";
        let mut command = host.mote(&["run", "--rm", "busybox", "sh", "-c", script]);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 6];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        let vmms = processes(&host.runtime()).unwrap();
        assert_eq!(vmms.len(), 1);
        let killed = Command::new("kill").args(["-KILL", &vmms[0].to_string()]).status();
        assert!(killed.unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(said.lines().count(), 1, "{said}");
    });
}

#[test]
fn after_a_task_that_ended_well() {
    check(|host| {
        let ran = host.run(&["--cpu", "1"], "busybox", &["true"]).ended_with(0);
        assert_eq!(ran.stderr, "");
    });
}

#[test]
fn after_the_host_agent_ended() {
    let script = "echo ready; exec sleep 1000";
    let host = Host::start(&IDLE).unwrap();
    host.load("busybox").unwrap();
    let runtime = host.runtime();
    let mut command = host.mote(&["run", "--stop-timeout", "1", "busybox", "sh", "-c", script]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    assert_eq!(host.stop().unwrap(), Some(0));
    assert!(!child.wait().unwrap().success());
    let held = Held::now(&runtime).unwrap();
    assert!(held.is_nothing(), "{held:?}");
}
