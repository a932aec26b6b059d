//! The host's clock.

use rustix::time::{ClockId, clock_gettime};

/// Now, on `CLOCK_MONOTONIC` in nanoseconds: comparable between all processes of a host.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock starts at zero with the host and lasts 584 years.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
