//! How a container's end becomes `mote run`'s.

use std::process::Command;
use std::time::Duration;

use crate::fixture::{host, sh, sh_with};

#[test]
fn success_is_zero() {
    let ran = sh("echo out; echo err >&2").ended_with(0);
    assert_eq!(ran.text(), "out\n");
    assert_eq!(ran.stderr, "err\n");
}

#[test]
fn a_code_is_passed_on() {
    let _ = sh("exit 3").ended_with(3);
    let _ = sh("exit 255").ended_with(255);
}

#[test]
fn a_missing_program_is_127() {
    let ran = host().run(&[], "busybox", &["no-such-program"]).ended_with(127);
    assert!(ran.stderr.contains("no-such-program"), "{ran}");
}

#[test]
fn a_file_that_cannot_be_executed_is_126() {
    let ran = host().run(&[], "busybox", &["/etc/passwd"]).ended_with(126);
    assert!(ran.stderr.contains("/etc/passwd"), "{ran}");
}

#[test]
fn a_signal_is_128_and_its_number() {
    // From outside: as the first process of its namespace it gets no signal of its own sending.
    let _ = sh_with(&["--timeout", "1", "--stop-timeout", "0"], "exec sleep 1000").ended_with(128 + 9);
}

#[test]
fn a_shell_reports_a_signalled_child() {
    let _ = sh("sh -c 'kill -TERM $$'; exit $?").ended_with(143);
}

#[test]
fn the_timeout_stops_a_task() {
    let ran = sh_with(
        &["--timeout", "1", "--stop-timeout", "1"],
        "echo started; exec sleep 1000",
    )
    .ended_with(137);
    assert_eq!(ran.text(), "started\n");
}

#[test]
fn the_stop_signal_comes_first() {
    let _ = sh_with(&["--timeout", "1"], "trap 'exit 7' TERM; while :; do sleep 0.1; done").ended_with(7);
}

/// Starts `script` in the foreground, waits for its first line, sends `signals` to `mote run`, and gives the exit code.
fn interrupted(script: &str, signals: usize) -> Option<i32> {
    use std::io::{BufRead, BufReader};
    let mut command = host().mote(&["run", "--rm", "busybox", "sh", "-c", script]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    for _ in 0..signals {
        let killed = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        // The second interruption must be seen as a second one.
        std::thread::sleep(Duration::from_millis(200));
    }
    child.wait().unwrap().code()
}

#[test]
fn an_interruption_stops_the_container() {
    assert_eq!(
        interrupted("trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done", 1),
        Some(9)
    );
}

#[test]
fn a_second_interruption_kills_the_container() {
    assert_eq!(
        interrupted("trap '' TERM; echo ready; while :; do sleep 0.1; done", 2),
        Some(137)
    );
}
