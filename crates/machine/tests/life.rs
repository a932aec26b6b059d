//! The life of a machine, from its start to the last trace of it: one real boot (two, for what must outlive one).
//!
//! Needs root and what `scripts/setup.sh machine` installs. Builds the static init if it has not been built.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use machine::wire::TOKEN_LEN;
use machine::{
    Control, DataDisk, ExecRequest, Execution, ExecutionEvent, ExitStatus, Machine, MachineError, MachineName, Options,
    Programs, Refusal, RelayError, Started, Status, TerminalSize,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The supervisor of this build, and an init that is linked statically.
fn programs() -> Programs {
    let target_directory = Path::new(env!("CARGO_BIN_EXE_mote-machine-supervisor"))
        .ancestors()
        .nth(2)
        .unwrap();
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "machine",
            "--bin",
            machine::parts::INIT,
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_directory)
        // As `cargo xtask build` does, so that it is built once.
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static -C relocation-model=static")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    Programs {
        supervisor: env!("CARGO_BIN_EXE_mote-machine-supervisor").into(),
        init: target_directory.join(TARGET).join("release").join(machine::parts::INIT),
    }
}

fn name(suffix: &str) -> MachineName {
    format!("test-{}-{suffix}", std::process::id()).parse().unwrap()
}

fn request(argv: &[&str]) -> ExecRequest {
    ExecRequest {
        argv: argv.iter().map(ToString::to_string).collect(),
        env: Vec::new(),
        working_directory: None,
        terminal: None,
    }
}

struct Outcome {
    status: ExitStatus,
    output: Vec<u8>,
    errors: Vec<u8>,
}

async fn run_with(machine: &Machine, request: ExecRequest, input: &[u8]) -> Outcome {
    let execution = machine.exec(request).await.unwrap();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (_controls, received) = mpsc::channel(1);
    let input = std::io::Cursor::new(input.to_vec());
    let status = execution
        .attach(input, &mut output, &mut errors, received)
        .await
        .unwrap();
    Outcome { status, output, errors }
}

async fn run(machine: &Machine, argv: &[&str]) -> Outcome {
    run_with(machine, request(argv), b"").await
}

async fn sh(machine: &Machine, script: &str) -> String {
    let outcome = run(machine, &["sh", "-c", script]).await;
    let errors = String::from_utf8_lossy(&outcome.errors);
    assert_eq!(outcome.status, ExitStatus::Exited(0), "{script}: {errors}");
    String::from_utf8(outcome.output).unwrap()
}

async fn drain(mut execution: Execution) -> (Vec<u8>, ExitStatus) {
    let mut output = Vec::new();
    loop {
        match execution.output.next().await.unwrap() {
            ExecutionEvent::Output(bytes) | ExecutionEvent::Error(bytes) => output.extend(bytes),
            ExecutionEvent::Ended(status) => return (output, status),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_from_its_start_to_the_last_trace_of_it() {
    let temporary = tempfile::tempdir().unwrap();
    let share = temporary.path().join("a,b share");
    std::fs::create_dir(&share).unwrap();
    let options = Options {
        name: name("life"),
        shares: vec![share.clone()],
        data_disk: Some(DataDisk {
            path: temporary.path().join("data.raw"),
            size_mib: 4096,
        }),
        console: Some(temporary.path().join("console.log")),
        ..Options::default()
    };
    let programs = programs();
    let (first, second) = tokio::join!(
        Machine::start(options.clone(), &programs, |_| {}),
        Machine::start(options.clone(), &programs, |_| {})
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    two_starts_make_one_machine(&first, &second);
    let machine = first.machine();
    the_host_is_inside(&machine, &share).await;
    every_end_of_a_program_is_told_exactly(&machine).await;
    what_cannot_run_is_refused_with_its_reason(&machine).await;
    streams_arrive_whole_and_apart(&machine).await;
    a_signal_overtakes_input_that_nobody_reads(&machine).await;
    an_orphan_does_not_hold_the_exit_status_back(&machine).await;
    a_terminal_has_a_size_that_can_change(&machine).await;
    a_client_that_goes_takes_its_program_along(&machine).await;
    a_socket_inside_can_be_reached(&machine).await;
    a_wrong_token_opens_nothing(&machine).await;
    sh(
        &machine,
        "echo kept > /var/lib/mote/file; umask 77; echo gone > /run/file",
    )
    .await;
    leaves_nothing(machine, &options).await;

    let again = Machine::start(options.clone(), &programs, |_| {})
        .await
        .unwrap()
        .machine();
    assert_eq!(sh(&again, "cat /var/lib/mote/file; ls /run").await, "kept\n");
    leaves_nothing(again, &options).await;
}

fn two_starts_make_one_machine(first: &Started, second: &Started) {
    let new = |started: &Started| matches!(started, Started::New(_));
    assert_ne!(new(first), new(second));
}

async fn the_host_is_inside(machine: &Machine, share: &Path) {
    assert_eq!(sh(machine, "hostname").await, "mote-machine\n");
    assert_eq!(
        sh(machine, "exec 3<>/dev/kvm 4<>/dev/net/tun; cat /proc/self/cgroup").await,
        "0::/init\n"
    );
    let controllers = sh(machine, "cat /sys/fs/cgroup/cgroup.subtree_control").await;
    for controller in ["cpu", "io", "memory", "pids"] {
        assert!(
            controllers.split_whitespace().any(|name| name == controller),
            "{controllers}"
        );
    }
    std::fs::write(share.join("from-host"), "host").unwrap();
    let quoted = format!("'{}'", share.display());
    assert_eq!(
        sh(
            machine,
            &format!("cd {quoted} && cat from-host && echo machine > from-machine")
        )
        .await,
        "host"
    );
    assert_eq!(
        std::fs::read_to_string(share.join("from-machine")).unwrap(),
        "machine\n"
    );
    // What is not shared is the machine's own copy.
    let file = "/etc/debian_version";
    let before = std::fs::read(file).unwrap();
    sh(machine, &format!("cat {file} > /dev/null && echo overwritten > {file}")).await;
    assert_eq!(std::fs::read(file).unwrap(), before);
    sh(
        machine,
        "modprobe erofs && modprobe veth && modprobe bridge && modprobe nft_masq",
    )
    .await;
}

async fn every_end_of_a_program_is_told_exactly(machine: &Machine) {
    assert_eq!(run(machine, &["true"]).await.status, ExitStatus::Exited(0));
    assert_eq!(
        run(machine, &["sh", "-c", "exit 255"]).await.status,
        ExitStatus::Exited(255)
    );
    assert_eq!(
        run(machine, &["sh", "-c", "kill -9 $$"]).await.status,
        ExitStatus::Killed(9)
    );
}

async fn what_cannot_run_is_refused_with_its_reason(machine: &Machine) {
    let refusal = async |request| match machine.exec(request).await {
        Err(RelayError::Refused { refusal, .. }) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(request(&["no-such-program"])).await, Refusal::NotFound);
    assert_eq!(refusal(request(&["/etc/passwd"])).await, Refusal::NotExecutable);
    let elsewhere = ExecRequest {
        working_directory: Some(PathBuf::from("/nowhere")),
        ..request(&["true"])
    };
    assert_eq!(refusal(elsewhere).await, Refusal::WorkingDirectory);
}

async fn streams_arrive_whole_and_apart(machine: &Machine) {
    let outcome = run(machine, &["sh", "-c", "seq 1 500000; seq 1 1000 >&2"]).await;
    let numbers = |last: u32| (1..=last).map(|n| format!("{n}\n")).collect::<String>().into_bytes();
    assert!(
        outcome.output == numbers(500_000),
        "{} bytes of output",
        outcome.output.len()
    );
    assert!(
        outcome.errors == numbers(1000),
        "{} bytes of errors",
        outcome.errors.len()
    );
    let input = numbers(400_000);
    let outcome = run_with(machine, request(&["cat"]), &input).await;
    assert!(
        outcome.output == input,
        "{} of {} bytes came back",
        outcome.output.len(),
        input.len()
    );
    // A program that does not read its input ends all the same.
    assert_eq!(
        run_with(machine, request(&["true"]), &input).await.status,
        ExitStatus::Exited(0)
    );
}

async fn a_signal_overtakes_input_that_nobody_reads(machine: &Machine) {
    let execution = machine.exec(request(&["sleep", "1000"])).await.unwrap();
    let (controls, received) = mpsc::channel(1);
    let running = tokio::spawn(execution.attach(tokio::io::repeat(0), tokio::io::sink(), tokio::io::sink(), received));
    controls.send(Control::Signal(15)).await.unwrap();
    assert_eq!(running.await.unwrap().unwrap(), ExitStatus::Killed(15));
}

async fn an_orphan_does_not_hold_the_exit_status_back(machine: &Machine) {
    let outcome = run(
        machine,
        &["sh", "-c", "echo before; sleep 1000 & echo $! > /tmp/orphan; exit 4"],
    )
    .await;
    assert_eq!(
        (outcome.status, outcome.output.as_slice()),
        (ExitStatus::Exited(4), b"before\n".as_slice())
    );
    sh(machine, "kill $(cat /tmp/orphan)").await;
}

async fn a_terminal_has_a_size_that_can_change(machine: &Machine) {
    let terminal = Some(TerminalSize { rows: 10, columns: 20 });
    let script = "tty >/dev/null && stty size; read -r line; stty size; echo \"<$line>\"";
    let mut execution = machine
        .exec(ExecRequest {
            terminal,
            ..request(&["sh", "-c", script])
        })
        .await
        .unwrap();
    execution
        .input
        .resize(TerminalSize { rows: 30, columns: 40 })
        .await
        .unwrap();
    execution.input.write(b"typed\n").await.unwrap();
    let (output, status) = drain(execution).await;
    let output = String::from_utf8(output).unwrap();
    assert_eq!(status, ExitStatus::Exited(0));
    assert!(output.contains("30 40\r\n<typed>\r\n"), "{output:?}");
}

async fn a_client_that_goes_takes_its_program_along(machine: &Machine) {
    let script = "trap 'echo hung up > /tmp/hangup; exit' HUP; echo ready; while :; do sleep 0.1; done";
    let mut execution = machine.exec(request(&["sh", "-c", script])).await.unwrap();
    assert_eq!(
        execution.output.next().await.unwrap(),
        ExecutionEvent::Output(b"ready\n".to_vec())
    );
    drop(execution);
    sh(machine, "until test -s /tmp/hangup; do sleep 0.1; done").await;
}

async fn a_socket_inside_can_be_reached(machine: &Machine) {
    let server = r#"
        use IO::Socket::UNIX; $| = 1;
        my $listener = IO::Socket::UNIX->new(Local => "/run/echo.sock", Listen => 1);
        print "listening\n";
        my $client = $listener->accept; local $/; my $all = <$client>; print $client uc $all;
    "#;
    let mut execution = machine.exec(request(&["perl", "-e", server])).await.unwrap();
    assert_eq!(
        execution.output.next().await.unwrap(),
        ExecutionEvent::Output(b"listening\n".to_vec())
    );
    let mut connection = machine.connect(Path::new("/run/echo.sock")).await.unwrap();
    connection.write_all(b"hello").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "HELLO");
    assert_eq!(drain(execution).await.1, ExitStatus::Exited(0));
    match machine.connect(Path::new("/run/nobody.sock")).await {
        Err(RelayError::Refused {
            refusal: Refusal::NotFound,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

async fn a_wrong_token_opens_nothing(machine: &Machine) {
    let mut connection = TcpStream::connect(("127.0.0.1", machine.record().relay_port))
        .await
        .unwrap();
    connection.write_all(&[0; TOKEN_LEN]).await.unwrap();
    let mut answer = Vec::new();
    // An end or a reset, but not a byte.
    let _ = connection.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}

async fn leaves_nothing(machine: Machine, options: &Options) {
    let record = machine.record().clone();
    machine.stop().await.unwrap();
    assert!(matches!(
        Machine::status(&options.name).unwrap(),
        Status::Stopped { log: None }
    ));
    for process in [record.supervisor_pid, record.qemu_pid] {
        assert!(!is_running(process), "process {process} is left");
    }
    assert!(!machine::state::StateDirectory::of(&options.name).path().exists());
}

/// The supervisor stays as a zombie until this process, its parent, ends or asks.
fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status
        .rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_cannot_boot_says_so_and_leaves_nothing() {
    let options = Options {
        name: name("small"),
        memory_mib: 32,
        boot_timeout: Duration::from_secs(60),
        ..Options::default()
    };
    match Machine::start(options.clone(), &programs(), |_| {}).await {
        Err(MachineError::Start { reason }) => assert!(reason.contains("while the machine booted"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(!machine::state::StateDirectory::of(&options.name).path().exists());
}
