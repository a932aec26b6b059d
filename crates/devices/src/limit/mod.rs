//! How much of a device may be used in a second: what exceeds it waits in the driver's ring, and nothing is dropped.
//!
//! Nothing is asked and no timer exists where there is no limit. Start at [`bucket`] (what may go when), then [`turn`] (who waits).

pub mod bucket;
pub mod turn;

use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limit::bucket::Bucket;
use crate::limit::turn::Turn;

/// What is allowed in a second; what is absent has no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rates {
    /// Bytes.
    pub bytes: Option<NonZeroU64>,
    /// Requests, of whatever length.
    pub operations: Option<NonZeroU64>,
}

/// What something takes of a limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cost {
    /// Bytes.
    pub bytes: u64,
    /// Requests.
    pub operations: u64,
}

impl Cost {
    /// So many bytes and no request.
    #[must_use]
    pub const fn of_bytes(bytes: u64) -> Self {
        Self { bytes, operations: 0 }
    }

    /// What this takes more than `other`.
    fn beyond(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            operations: self.operations.saturating_sub(other.operations),
        }
    }
}

/// A limit, of one device or of several together. It outlasts what a driver does: a reset refills nothing.
#[derive(Clone, Debug)]
// A device keeps it for its next worker, and disks share it. Only workers lock it, all on the one thread that serves them.
pub struct Limit(Arc<Mutex<Buckets>>);

#[derive(Debug)]
struct Buckets {
    bytes: Option<Bucket>,
    operations: Option<Bucket>,
}

impl Limit {
    /// A limit that nothing has been taken of; none where these rates bound nothing.
    #[must_use]
    pub fn of(rates: Rates) -> Option<Self> {
        if rates == Rates::default() {
            return None;
        }
        let now = Instant::now();
        let bucket = |rate: Option<NonZeroU64>| rate.map(|rate| Bucket::new(rate, now));
        Some(Self(Arc::new(Mutex::new(Buckets {
            bytes: bucket(rates.bytes),
            operations: bucket(rates.operations),
        }))))
    }

    /// A place in the line of those who use it.
    ///
    /// # Errors
    /// Where the system has no timer.
    pub fn turn(&self) -> io::Result<Turn> {
        Turn::new(self.clone())
    }

    /// Takes `cost`; how long whoever does it has to wait until what was taken before is refilled. So who comes first goes first.
    fn take(&self, cost: Cost, now: Instant) -> Duration {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Buckets { bytes, operations } = &mut *buckets;
        let wait = [(bytes, cost.bytes), (operations, cost.operations)].map(|(bucket, count)| {
            bucket.as_mut().map_or(Duration::ZERO, |bucket| {
                let wait = bucket.wait(now);
                bucket.take(count);
                wait
            })
        });
        wait[0].max(wait[1])
    }
}
