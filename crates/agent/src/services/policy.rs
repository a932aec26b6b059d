//! How many tasks a service may and must have while it is deployed, and how many failures it bears.

use serde::{Deserialize, Serialize};

/// The least failures that break a deployment, where the breaker's threshold is bounded.
const THRESHOLD_MIN: u32 = 3;

/// The most failures that a deployment bears, where the breaker's threshold is bounded.
const THRESHOLD_MAX: u32 = 200;

/// How long a task without a health check has to run before it counts as healthy: what fails because it was deployed fails sooner.
pub const SETTLE_MS: u64 = 10_000;

/// How long the first failed start keeps the next one away; each further round doubles it.
const HOLD_MS_MIN: u64 = 1_000;

/// The longest time that failed starts keep the next one away.
const HOLD_MS_MAX: u64 = 15 * 60 * 1_000;

/// How deployments go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// So much of the desired count is healthy at all times, unless tasks end by themselves.
    pub minimum_healthy_percent: u32,
    /// So much of the desired count exists at most.
    pub maximum_percent: u32,
    /// What gives up a deployment whose tasks fail.
    pub breaker: Breaker,
}

/// ECS's circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whether there is one.
    pub is_enabled: bool,
    /// Whether a deployment that is given up is followed by the last one that was completed.
    pub rolls_back: bool,
    /// Whether a task that becomes healthy has the failures forgotten.
    pub resets: bool,
    /// How many failures are too many.
    pub threshold: Threshold,
}

/// How many failures are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    /// So many.
    Count(u32),
    /// This part of the desired count, but 3 at least and 200 at most.
    BoundedPercent(u32),
    /// This part of the desired count.
    UnboundedPercent(u32),
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            breaker: Breaker::default(),
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            is_enabled: false,
            rolls_back: false,
            resets: true,
            threshold: Threshold::BoundedPercent(50),
        }
    }
}

impl Policy {
    /// So many healthy tasks are left alone at least: rounded up.
    #[must_use]
    pub fn minimum(&self, desired: u32) -> u32 {
        narrow((u64::from(desired) * u64::from(self.minimum_healthy_percent)).div_ceil(100))
    }

    /// So many tasks exist at most: rounded down, and never fewer than are to run.
    #[must_use]
    pub fn maximum(&self, desired: u32) -> u32 {
        narrow(u64::from(desired) * u64::from(self.maximum_percent) / 100).max(desired)
    }
}

impl Breaker {
    /// So many failures break a deployment of a service that is to have `desired` tasks.
    #[must_use]
    pub fn threshold(&self, desired: u32) -> u32 {
        let part = |percent: u32| narrow((u64::from(desired) * u64::from(percent)).div_ceil(100));
        match self.threshold {
            Threshold::Count(count) => count.max(1),
            Threshold::BoundedPercent(percent) => part(percent).clamp(THRESHOLD_MIN, THRESHOLD_MAX),
            Threshold::UnboundedPercent(percent) => part(percent).max(1),
        }
    }
}

/// How long the failure that is the `rounds`th in a row keeps the next start away, in milliseconds.
#[must_use]
pub fn hold_ms(rounds: u32) -> u64 {
    let doubled = HOLD_MS_MIN << rounds.saturating_sub(1).min(32);
    doubled.min(HOLD_MS_MAX)
}

fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(desired: u32, percents: (u32, u32), expected: (u32, u32)) {
        let policy = Policy {
            minimum_healthy_percent: percents.0,
            maximum_percent: percents.1,
            ..Policy::default()
        };
        assert_eq!(
            (policy.minimum(desired), policy.maximum(desired)),
            expected,
            "{desired} {percents:?}"
        );
    }

    #[test]
    fn the_minimum_is_rounded_up_and_the_maximum_down() {
        check(4, (50, 200), (2, 8));
        check(3, (50, 150), (2, 4));
        check(1, (50, 150), (1, 1));
        check(1, (0, 100), (0, 1));
        check(5, (33, 133), (2, 6));
        check(0, (100, 200), (0, 0));
    }

    #[test]
    fn the_breaker_bears_half_of_the_tasks_but_three_to_two_hundred() {
        let breaker = Breaker::default();
        for (desired, threshold) in [(0, 3), (1, 3), (6, 3), (7, 4), (25, 13), (400, 200), (10_000, 200)] {
            assert_eq!(breaker.threshold(desired), threshold, "{desired}");
        }
        let counted = Breaker {
            threshold: Threshold::Count(1),
            ..breaker
        };
        assert_eq!(counted.threshold(100), 1);
        let unbounded = Breaker {
            threshold: Threshold::UnboundedPercent(10),
            ..breaker
        };
        assert_eq!((unbounded.threshold(1), unbounded.threshold(1000)), (1, 100));
    }

    #[test]
    fn failures_keep_the_next_start_away_for_longer_and_longer() {
        assert_eq!([1, 2, 3, 10].map(hold_ms), [1_000, 2_000, 4_000, 512_000]);
        assert_eq!(hold_ms(u32::MAX), HOLD_MS_MAX);
    }
}
