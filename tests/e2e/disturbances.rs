//! What happens to a host, and not to one task: its host agent stands still, its clock jumps, and a VMM runs out of memory.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use tests::host::{HUNG_SECONDS, Host};
use tests::leftovers::{Held, agent_cgroup};
use tests::patience::until;
use tests::running::Running;

const NO_POOL: [&str; 2] = ["--pool", "0"];

/// A host agent that has a template and no task, and what it holds.
fn quiet_host() -> (Host, Held) {
    let host = Host::start(&NO_POOL).unwrap();
    host.load("busybox").unwrap();
    let _ = host.run(&[], "busybox", &["true"]).ended_with(0);
    let held = Held::now(&host.runtime()).unwrap();
    (host, held)
}

/// Waits until the host agent holds no more than `held` again.
fn wait_for(host: &Host, held: &Held) {
    until("nothing is left", || {
        (Held::now(&host.runtime()).unwrap() == *held).then_some(())
    });
}

/// That a task which repeats what it is told still does.
#[track_caller]
fn check_alive(task: &mut Running) {
    task.say("hello");
    assert_eq!(task.line(), "hello");
}

/// Starts a task that outlives its client.
fn detached(host: &Host, name: &str, script: &str) {
    let fixed = [
        "run",
        "-d",
        "--timeout",
        HUNG_SECONDS,
        "--name",
        name,
        "busybox",
        "sh",
        "-c",
    ];
    let _ = host.ran(&[&fixed[..], &[script]].concat()).ended_with(0);
}

fn signal_agent(host: &Host, signal: Signal) {
    let processes = fs::read_to_string(agent_cgroup(&host.runtime()).join("cgroup.procs")).unwrap();
    for process in processes.lines() {
        kill_process(Pid::from_raw(process.parse().unwrap()).unwrap(), signal).unwrap();
    }
}

#[test]
fn a_host_agent_that_stands_still_for_a_minute_goes_on() {
    let (host, held) = quiet_host();
    let mut talker = Running::start(&host, "talker", &[], "busybox", &["cat"]);
    check_alive(&mut talker);
    detached(
        &host,
        "writer",
        "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); echo line $i; done; exit 42",
    );
    signal_agent(&host, Signal::STOP);
    sleep(Duration::from_secs(60));
    signal_agent(&host, Signal::CONT);
    check_alive(&mut talker);
    assert_eq!(host.ran(&["wait", "writer"]).ended_with(0).text(), "42\n");
    let expected: String = (1..=2000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(host.ran(&["logs", "writer"]).ended_with(0).text(), expected);
    let _ = talker.end().ended_with(0);
    assert_eq!(host.run(&[], "busybox", &["echo", "new"]).ended_with(0).text(), "new\n");
    wait_for(&host, &held);
}

/// A clock that is set right again, whatever comes between.
struct Jump(i64);

impl Jump {
    fn by(seconds: i64) -> Self {
        Self::apply(seconds);
        Self(seconds)
    }

    fn apply(seconds: i64) {
        let now = clock_gettime(ClockId::Realtime);
        clock_settime(
            ClockId::Realtime,
            Timespec {
                tv_sec: now.tv_sec + seconds,
                ..now
            },
        )
        .unwrap();
    }
}

impl Drop for Jump {
    fn drop(&mut self) {
        Self::apply(-self.0);
    }
}

/// That no task is said to have run for longer than the test does.
#[track_caller]
fn check_sums(host: &Host) {
    let rows = host.usage(&[]);
    assert!(!rows.is_empty());
    for row in rows {
        assert!(row["seconds"].as_u64().unwrap() < 3600, "{row}");
    }
}

#[test]
fn a_clock_that_jumps_changes_no_task_and_no_sum() {
    const DAY: i64 = 86_400;
    let (host, held) = quiet_host();
    detached(&host, "lasting", "while :; do sleep 1; done");
    for seconds in [DAY, -2 * DAY] {
        let _jump = Jump::by(seconds);
        let here = clock_gettime(ClockId::Realtime).tv_sec;
        let there: i64 = host
            .run(&[], "busybox", &["date", "+%s"])
            .ended_with(0)
            .text()
            .trim()
            .parse()
            .unwrap();
        assert!((there - here).abs() < 3600, "{there} where it is {here}");
        // What waits for a time waits as long as it is to.
        let limited = [
            "run",
            "--rm",
            "--timeout",
            "1",
            "--stop-timeout",
            "0",
            "busybox",
            "sleep",
            "1000",
        ];
        let _ = host.ran(&limited).ended_with(128 + 9);
        assert_eq!(host.task("lasting")["status"], "RUNNING");
        check_sums(&host);
    }
    let _ = host.ran(&["stop", "-t", "1", "lasting"]).ended_with(0);
    check_sums(&host);
    let _ = host.ran(&["rm", "lasting"]).ended_with(0);
    wait_for(&host, &held);
}

#[test]
fn a_vmm_without_memory_ends_its_task_alone_and_is_named_as_the_reason() {
    let (host, held) = quiet_host();
    let mut other = Running::start(&host, "other", &[], "busybox", &["cat"]);
    check_alive(&mut other);
    let before = Held::now(&host.runtime()).unwrap();
    detached(&host, "starved", "while :; do sleep 1; done");
    let after = Held::now(&host.runtime()).unwrap();
    let cgroup = after
        .cgroups
        .iter()
        .find(|path| !before.cgroups.contains(path))
        .unwrap();
    let bound = format!("{cgroup}/memory.max");
    // By a process of its own: the kernel ends others before it answers.
    let written = Command::new("sh")
        .args(["-c", "echo 1M > \"$1\"", "sh", &bound])
        .status()
        .unwrap();
    assert!(written.success());
    let _ = host.ran(&["wait", "starved"]).ended_with(0);
    let told = host.task("starved").to_string();
    assert!(told.contains("more memory than its control group may have"), "{told}");
    check_alive(&mut other);
    let _ = other.end().ended_with(0);
    let _ = host.ran(&["rm", "starved"]).ended_with(0);
    wait_for(&host, &held);
}
