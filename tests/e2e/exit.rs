//! How a container's end becomes `mote run`'s.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
    // The init process passes it on from its beginning; a shell may not have come to its trap when the time is over.
    let _ = sh_with(&["--timeout", "1", "--init"], "exec sleep 1000").ended_with(128 + 15);
}

/// Starts `script` in the foreground, and interrupts `mote run` after each of the lines that it is to write; the exit code.
fn interrupted(script: &str, lines: &[&str]) -> Option<i32> {
    let mut command = host().mote(&["run", "--rm", "busybox", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        assert_eq!(output.next().unwrap().unwrap(), *line);
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(killed.unwrap().success());
    }
    child.wait().unwrap().code()
}

#[test]
fn an_interruption_stops_the_container() {
    let script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    assert_eq!(interrupted(script, &["ready"]), Some(9));
}

#[test]
fn a_second_interruption_kills_the_container() {
    // The first one has been heard when the second one comes: two at once are one.
    let script = "trap 'echo told' TERM; echo ready; while :; do sleep 0.1; done";
    assert_eq!(interrupted(script, &["ready", "told"]), Some(137));
}
