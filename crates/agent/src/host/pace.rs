//! How fast the output of one microVM is taken: what exceeds it waits in the guest, whose processes wait in turn.
//!
//! The host agent's work for output is not metered by the task's control group. So a task that floods gets this much of it and no more.

use std::time::Duration;

/// What is taken for long, in bytes a second: several times what a terminal or a log is read at.
const BYTES_PER_SECOND: u64 = 64 << 20;

/// How much of a second's output is taken at once, after silence.
const BURST_NS: u64 = NS_PER_SECOND;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// What was taken so far.
#[derive(Debug, Default)]
pub struct Pace {
    /// Up to this moment of the monotonic clock, what was taken keeps to the rate.
    paid_ns: u64,
}

impl Pace {
    /// Takes note of `len` bytes that have come at `now_ns`; how long they have to wait.
    pub fn take(&mut self, len: usize, now_ns: u64) -> Duration {
        let begin_ns = self.paid_ns.max(now_ns.saturating_sub(BURST_NS));
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.paid_ns = begin_ns.saturating_add(len.saturating_mul(NS_PER_SECOND) / BYTES_PER_SECOND);
        Duration::from_nanos(self.paid_ns.saturating_sub(now_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long after the clock began.
    const NOW_NS: u64 = 1 << 50;
    const SECOND: usize = 64 << 20;

    #[test]
    fn a_burst_does_not_wait_and_a_flood_does() {
        let mut pace = Pace::default();
        assert_eq!(pace.take(SECOND, NOW_NS), Duration::ZERO);
        assert_eq!(pace.take(SECOND / 2, NOW_NS), Duration::from_millis(500));
        assert_eq!(pace.take(SECOND / 2, NOW_NS), Duration::from_secs(1));
        // It has waited.
        assert_eq!(pace.take(0, NOW_NS + NS_PER_SECOND), Duration::ZERO);
        assert_eq!(pace.take(SECOND, NOW_NS + NS_PER_SECOND), Duration::from_secs(1));
    }

    #[test]
    fn silence_earns_one_burst_and_no_more() {
        let mut pace = Pace::default();
        assert_eq!(pace.take(SECOND, NOW_NS), Duration::ZERO);
        let later_ns = NOW_NS + 1000 * NS_PER_SECOND;
        assert_eq!(pace.take(SECOND, later_ns), Duration::ZERO);
        assert_eq!(pace.take(SECOND, later_ns), Duration::from_secs(1));
    }

    #[test]
    fn at_the_rate_nothing_waits() {
        let mut pace = Pace::default();
        for piece in 0..10_000 {
            assert_eq!(pace.take(SECOND / 1000, NOW_NS + piece * 1_000_000), Duration::ZERO);
        }
    }
}
