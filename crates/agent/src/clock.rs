//! The host's clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use api::task::ClockPoints;
use rustix::time::{ClockId, clock_gettime};

/// A clock point that is seen on the way of a start; the first, the acceptance, is known from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The first vCPU is about to run.
    VcpuRunnable,
    /// The guest agent executed its first instruction.
    GuestBooted,
    /// The guest agent answered.
    GuestAnswered,
    /// The container's process was exec'ed.
    ProcessStarted,
    /// The first byte of output arrived.
    FirstOutput,
}

/// Notes that `point` was reached at `monotonic_ns`, unless it was reached before.
pub fn note(clock: &mut ClockPoints, point: Point, monotonic_ns: u64) {
    let time = match point {
        Point::VcpuRunnable => &mut clock.vcpu_runnable_ns,
        Point::GuestBooted => &mut clock.guest_booted_ns,
        Point::GuestAnswered => &mut clock.guest_answered_ns,
        Point::ProcessStarted => &mut clock.process_started_ns,
        Point::FirstOutput => &mut clock.first_output_ns,
    };
    time.get_or_insert(monotonic_ns);
}

/// Now, on `CLOCK_MONOTONIC` in nanoseconds: comparable between all processes of a host.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // The clock starts at zero with the host and lasts 584 years.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// [`monotonic_ns`] in milliseconds.
#[must_use]
pub fn monotonic_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

/// Now, in milliseconds since the Unix epoch; zero on a host whose clock is set before it.
#[must_use]
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
