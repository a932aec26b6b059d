//! The clock of the events: the host's `CLOCK_MONOTONIC`.

use nix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds since some moment that all processes of this host share.
#[must_use]
pub fn monotonic_ns() -> u64 {
    // This clock is always there, and is never negative.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    let seconds = u64::try_from(now.tv_sec()).unwrap_or_default();
    let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or_default();
    seconds * 1_000_000_000 + nanoseconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward() {
        let earlier = monotonic_ns();
        assert!(earlier > 0 && earlier <= monotonic_ns());
    }
}
