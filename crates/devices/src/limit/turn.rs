//! One who uses a limit and waits for it: a timer of the event loop's, which runs only meanwhile.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use event_manager::{EventOps, EventSet, Events};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::limit::{Cost, Limit};

/// A place in the line of those who use a [`Limit`].
#[derive(Debug)]
pub struct Turn {
    limit: Limit,
    timer: OwnedFd,
    /// What has been taken for the one that waits, and when it may go.
    waiting: Option<(Cost, Instant)>,
}

impl Turn {
    pub(super) fn new(limit: Limit) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self {
            limit,
            timer,
            waiting: None,
        })
    }

    /// Has the event loop report the end of a wait, as `token`.
    ///
    /// # Errors
    /// When the event loop cannot take the descriptor.
    pub fn watch(&self, token: u32, ops: &mut EventOps<'_>) -> Result<(), event_manager::Error> {
        // Each end is told once, so nobody has to read the timer.
        let events = EventSet::IN | EventSet::EDGE_TRIGGERED;
        ops.add(Events::with_data_raw(self.timer.as_raw_fd(), token, events))
    }

    /// Whether what costs so much may go now, and then it is paid for. Otherwise it has its place in the line: the loop reports when it is time to
    /// ask again.
    pub fn may_go(&mut self, cost: Cost) -> bool {
        let now = Instant::now();
        let (taken, from) = match self.waiting {
            Some(waiting) => waiting,
            None => (cost, now + self.limit.take(cost, now)),
        };
        if from > now {
            if self.waiting.is_none() {
                self.waiting = Some((taken, from));
                self.set_timer(from - now);
            }
            return false;
        }
        self.waiting = None;
        // A driver may have made something else of what waited.
        self.charge(cost.beyond(taken));
        true
    }

    /// Takes what is only known after it went.
    pub fn charge(&self, cost: Cost) {
        if cost != Cost::default() {
            let _ = self.limit.take(cost, Instant::now());
        }
    }

    fn set_timer(&self, wait: Duration) {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec {
            it_interval: none,
            it_value: Timespec::try_from(wait).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            }),
        };
        // The kernel refuses only what is no time, and no descriptor of a timer.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::limit::Rates;

    fn limit(bytes: u64) -> Limit {
        Limit::of(Rates {
            bytes: NonZeroU64::new(bytes),
            operations: None,
        })
        .unwrap()
    }

    #[test]
    fn no_rates_are_no_limit() {
        assert!(Limit::of(Rates::default()).is_none());
    }

    #[test]
    fn who_waits_is_owed_no_more_than_once() {
        let limit = limit(1);
        let mut turn = limit.turn().unwrap();
        assert!(turn.may_go(Cost::of_bytes(1000)));
        for _ in 0..100 {
            assert!(!turn.may_go(Cost::of_bytes(1000)));
        }
        let owed = limit.take(Cost::default(), Instant::now());
        assert!((1900..2000).contains(&owed.as_secs()), "{owed:?}");
    }

    #[test]
    fn who_asked_first_goes_first() {
        let limit = limit(1);
        let [mut one, mut other] = [limit.turn().unwrap(), limit.turn().unwrap()];
        assert!(one.may_go(Cost::of_bytes(1000)));
        assert!(!one.may_go(Cost::of_bytes(500)) && !other.may_go(Cost::of_bytes(500)));
        let from = |turn: &Turn| turn.waiting.unwrap().1;
        assert_eq!((from(&other) - from(&one)).as_secs(), 500);
    }

    #[test]
    fn what_became_larger_meanwhile_is_paid_in_full() {
        let limit = limit(1);
        let mut turn = limit.turn().unwrap();
        turn.waiting = Some((Cost::of_bytes(0), Instant::now()));
        assert!(turn.may_go(Cost::of_bytes(1000)));
        assert!(limit.take(Cost::default(), Instant::now()).as_secs() > 900);
    }
}
