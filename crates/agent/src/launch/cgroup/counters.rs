//! The files of a control group (Documentation/admin-guide/cgroup-v2.rst): counters by name.

use api::stats::CpuStats;

/// The counter `name` of a file that has one a line; `None` where the kernel does not count it.
pub fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// A `cpu.stat`. What the kernel does not count is nothing.
pub fn cpu(text: &str) -> CpuStats {
    let value = |name| value(text, name).unwrap_or_default();
    CpuStats {
        used_us: value("usage_usec"),
        user_us: value("user_usec"),
        system_us: value("system_usec"),
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_us: value("throttled_usec"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CPU_STAT: &str = "usage_usec 123456\nuser_usec 100000\nsystem_usec 23456\nnice_usec 0\nnr_periods 40\nnr_throttled 3\n\
                            throttled_usec 9000\nnr_bursts 0\nburst_usec 0\n";

    #[test]
    fn cpu_time_is_read_by_name() {
        let expected = CpuStats {
            used_us: 123_456,
            user_us: 100_000,
            system_us: 23_456,
            periods: 40,
            throttled_periods: 3,
            throttled_us: 9_000,
        };
        assert_eq!(cpu(CPU_STAT), expected);
    }

    #[test]
    fn a_name_is_not_found_in_a_longer_one() {
        let text = "kernel_stack 1\nsec_kernel 2\nkernel 3\n";
        assert_eq!(value(text, "kernel"), Some(3));
        assert_eq!(value(text, "stack"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = cpu(&text);
        }
    }
}
