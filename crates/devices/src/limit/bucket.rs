//! A token bucket: what may go when, as a function of time that is told to it.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The part of a token in which levels are counted, so that no nanosecond's worth is lost.
const PARTS: i128 = 1_000_000_000;

/// Tokens, which come at a steady rate and are taken as they are needed.
///
/// It holds one second's worth: what a program does in clumps, as when it starts or when a cache is written back, is not slowed as long as
/// the mean of a second is kept. What is taken may exceed what is there, since a request cannot be cut: then the next one waits until that is
/// refilled. So in any time, what goes is at most what has come in it, one second's worth, and the one request that is too large.
#[derive(Debug)]
pub struct Bucket {
    per_second: u64,
    /// In [`PARTS`] of a token; below zero it is owed.
    level: i128,
    refilled: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(per_second: NonZeroU64, now: Instant) -> Self {
        Self {
            per_second: per_second.get(),
            level: i128::from(per_second.get()) * PARTS,
            refilled: now,
        }
    }

    /// How long until nothing is owed.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.refilled);
        self.refilled = self.refilled.max(now);
        // A part comes in each nanosecond for each token in a second.
        let per_nanosecond = i128::from(self.per_second);
        let came = per_nanosecond.saturating_mul(i128::try_from(passed.as_nanos()).unwrap_or(i128::MAX));
        let full = per_nanosecond * PARTS;
        self.level = self.level.saturating_add(came).min(full);
        if self.level >= 0 {
            return Duration::ZERO;
        }
        let owed = self.level.unsigned_abs();
        let nanoseconds = owed.div_ceil(u128::from(self.per_second));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Takes `count` tokens, whether they are there or not.
    pub fn take(&mut self, count: u64) {
        self.level = self.level.saturating_sub(i128::from(count) * PARTS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One who asks at these times, in nanoseconds after the last was served, for so much; when what was served, in nanoseconds.
    fn served(per_second: u64, asked: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let begin = Instant::now();
        let mut bucket = Bucket::new(NonZeroU64::new(per_second).unwrap(), begin);
        let mut at = 0;
        let serve = |&(gap, count): &(u64, u64)| {
            at += gap;
            let wait = bucket.wait(begin + Duration::from_nanos(at));
            at += u64::try_from(wait.as_nanos()).unwrap();
            assert_eq!(bucket.wait(begin + Duration::from_nanos(at)), Duration::ZERO);
            bucket.take(count);
            (at, count)
        };
        asked.iter().map(serve).collect()
    }

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_rest_at_its_rate() {
        let second = 1_000_000_000;
        assert_eq!(
            served(100, &[(0, 60), (0, 40), (0, 50), (0, 1), (0, 1)]),
            [
                (0, 60),
                (0, 40),
                (0, 50),
                (second / 2, 1),
                (second / 2 + second / 100, 1)
            ]
        );
    }

    #[test]
    fn what_is_too_large_goes_and_is_repaid() {
        let second = 1_000_000_000;
        assert_eq!(served(10, &[(0, 1000), (0, 1)]), [(0, 1000), (99 * second, 1)]);
    }

    #[test]
    fn numbers_have_no_end() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(NonZeroU64::MAX, begin);
        for _ in 0..4 {
            bucket.take(u64::MAX);
        }
        assert_eq!(bucket.wait(begin), Duration::from_secs(3));
        let mut bucket = Bucket::new(NonZeroU64::MIN, begin);
        bucket.take(u64::MAX);
        assert_eq!(bucket.wait(begin), Duration::from_nanos(u64::MAX));
        assert_eq!(
            Bucket::new(NonZeroU64::MIN, begin + Duration::from_secs(1)).wait(begin),
            Duration::ZERO
        );
    }

    fn asked() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let gap = prop_oneof![Just(0), 0u64..1000, 0u64..5_000_000_000];
        let count = prop_oneof![Just(1), 0u64..100, 0u64..100_000_000];
        prop::collection::vec((gap, count), 1..60)
    }

    proptest! {
        #[test]
        fn no_time_sees_more_than_its_rate(per_second in 1u64..1_000_000_000, asked in asked()) {
            let served = served(per_second, &asked);
            for (index, &(begin, _)) in served.iter().enumerate() {
                let mut sum = 0;
                for &(end, count) in &served[index..] {
                    // What goes last may be too large.
                    let came = u128::from(per_second) * (1_000_000_000 + u128::from(end - begin));
                    prop_assert!(sum * 1_000_000_000 <= came, "{sum} in {} ns", end - begin);
                    sum += u128::from(count);
                }
            }
        }

        #[test]
        fn who_always_asks_gets_all_of_the_rate(
            per_second in 1u64..1_000_000_000, counts in prop::collection::vec(0u64..10_000_000, 1..60)
        ) {
            let asked: Vec<_> = counts.iter().map(|&count| (0, count)).collect();
            let mut sum = 0;
            for (at, count) in served(per_second, &asked) {
                // Before anything waits, there is a second's worth; a wait is rounded up by less than a nanosecond.
                if at > 0 {
                    let came = u128::from(per_second) * (1_000_000_000 + u128::from(at) - 1);
                    prop_assert!(sum * 1_000_000_000 >= came, "{sum} in {at} ns");
                }
                sum += u128::from(count);
            }
        }
    }
}
