//! What a task may use is bounded: CPU, memory, processes and disk. How exactly, benchmarks measure.

use std::fs;
use std::path::{Path, PathBuf};

use tests::command::Ran;
use tests::leftovers::{Held, agent_cgroup};
use tests::running::Running;

use crate::fixture::{host, sh_with};

/// What a container of the shared host agent says first, and then waits.
const WAITING: [&str; 3] = ["sh", "-c", "echo ready; cat"];

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap().trim().to_owned()
}

/// The control groups of microVMs whose `cpu.max` is this.
fn limited_to(cpu_max: &str) -> Vec<PathBuf> {
    let all = Held::now(&host().runtime()).unwrap().cgroups;
    let all = all.into_iter().map(PathBuf::from);
    all.filter(|group| read(&group.join("cpu.max")) == cpu_max).collect()
}

/// The numbers in a file of a control group, or the names in a directory of `/proc`, in order.
fn threads(text: impl Iterator<Item = String>) -> Vec<u32> {
    let mut threads: Vec<u32> = text.map(|number| number.parse().unwrap()).collect();
    threads.sort_unstable();
    threads
}

#[track_caller]
fn check_cpu(cpu: &str, cpu_max: &str) {
    let mut task = Running::start(
        host(),
        "metered",
        &["--cpu", cpu, "--memory", "64"],
        "busybox",
        &WAITING,
    );
    assert_eq!(task.line(), "ready");
    let groups = limited_to(cpu_max);
    let [group] = &groups[..] else {
        panic!("{groups:?} have {cpu_max}");
    };
    let process = read(&group.join("cgroup.procs"));
    let entries = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_process = threads(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    let of_group = threads(read(&group.join("cgroup.threads")).lines().map(str::to_owned));
    assert_eq!(of_process, of_group);
    // The vCPU and the devices. There can be few more, whatever becomes of a VMM.
    assert!(of_group.len() >= 2, "{of_group:?}");
    assert_eq!(read(&group.join("pids.max")), "27");
    let _ = task.end().ended_with(0);
}

#[test]
fn what_a_busy_container_says_is_heard_however_small_its_share() {
    // It ends by itself, and what it said is heard then at the latest.
    let busy = "echo begun; i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done";
    let options = ["--cpu", "0.005", "--memory", "32"];
    let mut task = Running::start(host(), "small", &options, "busybox", &["sh", "-c", busy]);
    assert_eq!(task.line(), "begun");
    assert_eq!(host().task("small")["status"], "RUNNING");
    let _ = host().ran(&["kill", "small"]).ended_with(0);
    let _ = task.end().ended_with(137);
}

#[test]
fn cpu_is_bounded_for_all_threads_of_a_vmm_together() {
    check_cpu("0.05", "5000 100000");
    check_cpu("0.25", "5000 20000");
    check_cpu("1.5", "15000 10000");
}

#[test]
fn cpu_is_a_number_of_thousandths() {
    for cpu in ["0", "0.0001", "16.001"] {
        let ran = host().run(&["--cpu", cpu], "busybox", &["true"]);
        assert_ne!(ran.code, 0, "--cpu {cpu}");
        assert!(ran.stderr.to_lowercase().contains("cpu"), "{ran}");
    }
}

#[test]
fn a_container_that_takes_too_much_memory_ends_with_the_reason() {
    let fill = ["dd", "if=/dev/zero", "of=/dev/null", "bs=70M", "count=1"];
    let options = ["run", "--name", "greedy", "--memory", "64", "busybox"];
    let _ = host().ran(&[&options[..], &fill].concat()).ended_with(137);
    let container = host().task("greedy")["containers"][0].take();
    assert_eq!(
        container["reason"],
        "OutOfMemoryError: Container killed due to memory usage"
    );
    let _ = host().ran(&["rm", "greedy"]).ended_with(0);
}

#[test]
fn the_smallest_memory_is_enough_for_a_shell() {
    let script = "echo $((6 * 7)) | cat; ls / | grep -c bin; cat /sys/fs/cgroup/memory.max";
    let text = sh_with(&["--memory", "6"], script).ended_with(0).text();
    assert_eq!(text, "42\n2\n6291456\n");
}

#[test]
fn processes_are_counted() {
    let script = "cat /sys/fs/cgroup/pids.max; i=0; while [ $i -lt 9 ]; do sleep 100 & i=$((i + 1)); done; echo all";
    let ran = sh_with(&["--pids-limit", "5"], script);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("can't fork"), "{}", ran.stderr);
    assert_eq!(ran.text(), "5\n");
    let text = sh_with(&["--pids-limit", "-1"], "cat /sys/fs/cgroup/pids.max")
        .ended_with(0)
        .text();
    assert_eq!(text, "max\n");
}

/// Runs `script` in a clone with so much room.
#[track_caller]
fn with_storage(storage: &str, script: &str) -> Ran {
    let (name, script) = (format!("stored-{storage}"), ["busybox", "sh", "-c", script]);
    let ran = host().ran(&[&["run", "--name", &name, "--storage", storage], &script[..]].concat());
    assert_ne!(host().task(&name)["origin"], "boot");
    let _ = host().ran(&["rm", &name]).ended_with(0);
    ran
}

#[test]
fn a_small_disk_gets_full() {
    let script = "dd if=/dev/zero of=/fill bs=1M count=100 2>&1 | grep -o 'No space left on device'; rm /fill && echo x >/again && cat /again";
    let text = with_storage("64m", script).ended_with(0).text();
    assert_eq!(text, "No space left on device\nx\n");
}

#[test]
fn a_large_disk_is_there_at_once() {
    let script = "df -k / | tail -n 1 | { read -r name kib rest; [ $kib -gt 95000000 ] && echo large; }";
    assert_eq!(with_storage("100g", script).ended_with(0).text(), "large\n");
}

#[test]
fn files_are_counted_where_that_is_asked_for() {
    let script = "df -i / | tail -n 1 | { read -r name inodes rest; echo $inodes; }; \
         i=0; while touch /file$i; do i=$((i + 1)); done 2>&1; rm /file0; echo x > /again && cat /again";
    let options = ["run", "--name", "filed", "--storage", "64m", "--storage-inodes", "256"];
    let ran = host()
        .ran(&[&options[..], &["busybox", "sh", "-c", script]].concat())
        .ended_with(0);
    assert_ne!(host().task("filed")["origin"], "boot");
    let _ = host().ran(&["rm", "filed"]).ended_with(0);
    let text = ran.text();
    let lines: Vec<&str> = text.lines().collect();
    let [inodes, error, again] = lines[..] else {
        panic!("{text}")
    };
    assert_eq!((inodes, again), ("256", "x"));
    assert!(error.ends_with("No space left on device"), "{error}");
    for inodes in ["63", "16385"] {
        let options = ["--storage", "64m", "--storage-inodes", inodes];
        let refusal = host().run(&options, "busybox", &["true"]).refusal();
        assert!(refusal.contains("it must be 64 to 16384"), "{refusal}");
    }
}

#[test]
fn the_host_agent_is_spared_and_microvms_are_not() {
    let group = agent_cgroup(&host().runtime());
    let agent = read(&group.join("cgroup.procs"));
    assert_eq!(read(&group.join("memory.min")), (64 << 20).to_string());
    assert_eq!(read(Path::new(&format!("/proc/{agent}/oom_score_adj"))), "-500");
    let mut task = Running::start(host(), "not-spared", &["--cpu", "0.3"], "busybox", &WAITING);
    assert_eq!(task.line(), "ready");
    for group in limited_to("5100 17000") {
        let process = read(&group.join("cgroup.procs"));
        assert_eq!(read(Path::new(&format!("/proc/{process}/oom_score_adj"))), "0");
        assert!(read(&group.join("memory.max")).parse::<u64>().is_ok());
    }
    let _ = task.end().ended_with(0);
}
