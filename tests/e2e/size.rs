//! A microVM is as big as asked.

use crate::fixture::{host, sh_with};

/// `nproc` and the guest's memory, in MiB, for a container of that size.
#[track_caller]
fn seen(cpu: &str, memory: &str) -> (u32, u32) {
    let script = "nproc; awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo";
    let text = sh_with(&["--cpu", cpu, "--memory", memory], script)
        .ended_with(0)
        .text();
    let numbers: Vec<u32> = text.lines().map(|line| line.parse().unwrap()).collect();
    (numbers[0], numbers[1])
}

#[test]
fn whole_vcpus_are_the_fraction_rounded_up() {
    for (cpu, vcpus) in [("0.25", 1), ("1", 1), ("1.5", 2), ("3", 3)] {
        assert_eq!(seen(cpu, "128").0, vcpus, "--cpu {cpu}");
    }
}

#[test]
fn memory_is_what_was_asked_and_the_fixed_overhead() {
    let overhead = |asked: u32| {
        seen("1", &asked.to_string())
            .1
            .checked_sub(asked)
            .expect("less than asked")
    };
    for asked in [64, 300, 1024] {
        let overhead = overhead(asked);
        assert!(overhead <= 30 + asked / 32, "{overhead} MiB more than {asked}");
    }
}

#[test]
fn the_containers_limit_is_exact() {
    let text = sh_with(&["--memory", "77"], "cat /sys/fs/cgroup/memory.max")
        .ended_with(0)
        .text();
    assert_eq!(text.trim(), (77_u64 << 20).to_string());
}

#[test]
fn a_container_that_takes_more_is_killed() {
    let script = "a=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#a}";
    let ran = sh_with(&["--memory", "64"], script).ended_with(137);
    assert_eq!(ran.text(), "");
}

#[test]
fn too_little_memory_is_refused() {
    let refusal = host().run(&["--memory", "1"], "busybox", &["true"]).refusal();
    assert!(refusal.contains("memory"), "{refusal}");
}
