//! When to try again to make a template: a pure function of failures and time.

/// How long the first failure keeps the next attempt away, in seconds; each further one doubles it.
const RETRY_SECONDS_MIN: u64 = 10;

/// The longest time between attempts, in seconds.
const RETRY_SECONDS_MAX: u64 = 600;

const NANOSECONDS: u64 = 1_000_000_000;

/// What went wrong lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    failures: u32,
    retry_ns: u64,
}

impl Trouble {
    /// It went wrong once more.
    pub fn add(&mut self, now_ns: u64) {
        let doublings = self.failures.min(RETRY_SECONDS_MAX.ilog2());
        let seconds = (RETRY_SECONDS_MIN << doublings).min(RETRY_SECONDS_MAX);
        self.failures = self.failures.saturating_add(1);
        self.retry_ns = now_ns.saturating_add(seconds * NANOSECONDS);
    }

    /// Whether another attempt may be made.
    pub const fn may_retry(&self, now_ns: u64) -> bool {
        now_ns >= self.retry_ns
    }

    /// It went well.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_get_rarer_and_never_stop() {
        let mut trouble = Trouble::default();
        assert!(trouble.may_retry(0));
        let mut now = 0;
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            trouble.add(now);
            assert!(!trouble.may_retry(now + seconds * NANOSECONDS - 1), "{seconds}");
            now += seconds * NANOSECONDS;
            assert!(trouble.may_retry(now), "{seconds}");
        }
        for _ in 0..1000 {
            trouble.add(now);
        }
        trouble.clear();
        assert!(trouble.may_retry(now));
    }
}
