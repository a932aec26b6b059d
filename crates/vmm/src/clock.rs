//! The host's clocks: `CLOCK_MONOTONIC`, which events tell, and the wall clock, which guests ask for.

use nix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds since some moment that all processes of this host share.
#[must_use]
pub fn monotonic_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_MONOTONIC)
}

/// Now, in nanoseconds since the Unix epoch.
#[must_use]
pub fn wall_ns() -> u64 {
    nanoseconds(ClockId::CLOCK_REALTIME)
}

fn nanoseconds(clock: ClockId) -> u64 {
    // These clocks are always there, and never negative but on a host that believes to be in 1969.
    let now = clock_gettime(clock).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
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
