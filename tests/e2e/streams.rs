//! Standard input, output and error: whole, in order, apart.

use std::io::{BufReader, Read};
use std::process::{Command, Stdio};

use tests::command::ran;
use tests::host::HUNG_SECONDS;
use tests::patience::until;

use crate::fixture::{host, sh};

#[test]
fn a_hundred_megabytes_of_output_arrive_whole_and_in_order() {
    const BLOCKS: usize = 100;
    const BLOCK_LEN: usize = 1_000_000;
    let script = format!(
        "head -c {BLOCK_LEN} /dev/urandom > /block; sha256sum /block >&2; \
         for number in $(seq {BLOCKS}); do printf '%4d' $number; cat /block; done"
    );
    let mut command = host().mote(&[
        "run",
        "--rm",
        "--timeout",
        HUNG_SECONDS,
        "--cpu",
        "0.25",
        "--memory",
        "64",
        "busybox",
        "sh",
        "-c",
        &script,
    ]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::with_capacity(1 << 20, child.stdout.take().unwrap());
    let mut first = Vec::new();
    for number in 1..=BLOCKS {
        let mut block = vec![0; 4 + BLOCK_LEN];
        output.read_exact(&mut block).unwrap();
        assert_eq!(std::str::from_utf8(&block[..4]).unwrap().trim(), number.to_string());
        if number == 1 {
            first = block.split_off(4);
        } else {
            assert!(block[4..] == first, "block {number} is not what was sent");
        }
    }
    assert_eq!(output.read(&mut [0]).unwrap(), 0);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    let sum = ran(&mut Command::new("sha256sum"), &first).unwrap().text();
    assert_eq!(
        sum.split_once(' ').unwrap().0,
        String::from_utf8_lossy(&ended.stderr).split_once(' ').unwrap().0
    );
}

#[test]
fn output_and_errors_stay_apart() {
    let ran = sh("for i in 1 2 3; do echo o$i; echo e$i >&2; done").ended_with(0);
    assert_eq!(
        (ran.text().as_str(), ran.stderr.as_str()),
        ("o1\no2\no3\n", "e1\ne2\ne3\n")
    );
}

#[test]
fn output_without_a_last_newline_is_whole() {
    assert_eq!(sh("printf abc").ended_with(0).text(), "abc");
}

#[test]
fn input_reaches_the_process_and_ends() {
    let input = vec![b'x'; 3 << 20];
    let mut command = host().mote(&["run", "--rm", "-i", "busybox", "sh", "-c", "cat | wc -c"]);
    assert_eq!(
        ran(&mut command, &input).unwrap().ended_with(0).text().trim(),
        input.len().to_string()
    );
}

#[test]
fn input_is_empty_unless_asked_for() {
    let mut command = host().mote(&["run", "--rm", "busybox", "sh", "-c", "cat | wc -c"]);
    assert_eq!(
        ran(&mut command, b"not for you").unwrap().ended_with(0).text().trim(),
        "0"
    );
}

#[test]
fn a_process_that_reads_nothing_still_ends() {
    let input = vec![b'x'; 8 << 20];
    let mut command = host().mote(&["run", "--rm", "-i", "busybox", "true"]);
    let _ = ran(&mut command, &input).unwrap().ended_with(0);
}

#[test]
fn a_reader_that_goes_away_ends_the_task() {
    let script = format!(
        "exec {} run --rm --name fleeting busybox yes | head -n 1",
        crate::fixture::installed("bin/mote")
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .env("MOTE_HOST", format!("unix://{}", host().socket().display()));
    assert_eq!(ran(&mut command, b"").unwrap().text(), "y\n");
    // Who forgets it is the host agent, once it has seen that nobody reads.
    until("it is forgotten", || {
        let listed = host().ran(&["ps", "-a"]).ended_with(0).text();
        (!listed.contains("fleeting")).then_some(())
    });
}
