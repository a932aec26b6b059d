//! A microVM is as big as asked, whatever template it is a clone of.

use crate::fixture::{host, sh_with};

/// `nproc`, and the guest's memory in MiB when it has at least what was asked, for a container of that size.
#[track_caller]
fn seen(cpu: &str, memory: u32) -> (u32, u32) {
    // Memory comes while the container runs.
    let script = format!(
        "nproc; until mib=$(awk '/MemTotal/ {{print int($2 / 1024)}}' /proc/meminfo); [ $mib -ge {memory} ]; do sleep 0.1; done; echo $mib"
    );
    let text = sh_with(&["--cpu", cpu, "--memory", &memory.to_string()], &script)
        .ended_with(0)
        .text();
    let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

/// What the cgroup of a container that asked for so much says, in MiB.
#[track_caller]
fn limit_mib(memory: u32) -> u32 {
    let text = sh_with(&["--memory", &memory.to_string()], "cat /sys/fs/cgroup/memory.max");
    let bytes: u64 = text.ended_with(0).text().trim().parse().unwrap();
    u32::try_from(bytes >> 20).unwrap()
}

#[test]
fn whole_vcpus_are_the_fraction_rounded_up() {
    for (cpu, vcpus) in [("0.25", 1), ("1", 1), ("1.5", 2), ("2", 2), ("4", 4)] {
        assert_eq!(seen(cpu, 64).0, vcpus, "--cpu {cpu}");
    }
}

#[test]
fn sixteen_vcpus_all_compute() {
    let script = "nproc; for cpu in $(seq 0 15); do taskset -c $cpu sh -c 'awk \"/^Cpus_allowed_list/ {print \\$2}\" /proc/self/status'; done";
    let text = sh_with(&["--cpu", "16", "--memory", "128"], script)
        .ended_with(0)
        .text();
    let expected: Vec<String> = std::iter::once(16)
        .chain(0..16)
        .map(|number| number.to_string())
        .collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_container_that_does_not_wait_for_its_vcpus_gets_them_as_well() {
    let script = "until [ $(nproc) = 4 ]; do sleep 0.1; done; nproc";
    let text = sh_with(&["--cpu", "4", "--no-cpu-wait"], script).ended_with(0).text();
    assert_eq!(text, "4\n");
}

#[test]
fn memory_is_what_was_asked_and_the_fixed_overhead() {
    for asked in [32, 64, 512, 4096] {
        let overhead = seen("1", asked).1.checked_sub(asked).expect("less than asked");
        assert!(overhead <= 64 + asked / 32, "{overhead} MiB more than {asked}");
        assert_eq!(limit_mib(asked), asked);
    }
}

#[test]
fn the_largest_size_is_had() {
    const LARGEST_MIB: u32 = 64 << 10;
    assert!(seen("1", LARGEST_MIB).1 >= LARGEST_MIB);
    assert_eq!(limit_mib(LARGEST_MIB), LARGEST_MIB);
}

/// Runs a process whose first act is to fill one piece of memory of `filled_mib`.
#[track_caller]
fn check_filling(memory_mib: u32, filled_mib: u32, code: i32) {
    let (memory, block) = (memory_mib.to_string(), format!("bs={filled_mib}M"));
    let command = ["dd", "if=/dev/zero", "of=/dev/null", &block, "count=1"];
    let ran = host().run(&["--cpu", "1", "--memory", &memory], "busybox", &command);
    let _ = ran.ended_with(code);
}

#[test]
fn a_container_that_takes_all_it_asked_for_at_once_is_not_killed() {
    for memory_mib in [32, 256, 600, 2000] {
        // The program, and the page tables of what it fills, are the container's as well.
        check_filling(memory_mib, memory_mib - 4 - memory_mib / 256, 0);
    }
}

#[test]
fn a_container_that_takes_more_is_killed() {
    check_filling(32, 34, 137);
    check_filling(256, 260, 137);
    let script = "a=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#a}";
    let ran = sh_with(&["--memory", "64"], script).ended_with(137);
    assert_eq!(ran.text(), "");
}

#[test]
fn too_little_memory_is_refused() {
    let refusal = host().run(&["--memory", "1"], "busybox", &["true"]).refusal();
    assert!(refusal.contains("memory"), "{refusal}");
}
