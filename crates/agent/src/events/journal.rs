//! Events in memory, numbered, the oldest dropped first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::event::{Event, EventSubject};
use tokio::sync::watch;

use super::file::EventFile;
use crate::clock;

/// So many events are kept.
pub const KEPT_MAX: usize = 4096;

/// The events of one host agent. Clones are the same journal.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Shared by all who tell of events and all who follow; locked for moments.
    kept: Mutex<Kept>,
    /// The number of the next event: tells those who follow that there are more.
    grown: watch::Sender<u64>,
    is_closed: AtomicBool,
}

#[derive(Debug)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    /// The number of the first of them: so many were dropped.
    first: u64,
    file: Option<EventFile>,
}

/// Somebody who follows the journal, with a place in it.
#[derive(Debug)]
pub struct Follower {
    journal: Journal,
    next: u64,
    grown: watch::Receiver<u64>,
}

/// What a follower finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// The next event.
    Event(Arc<Event>),
    /// So many events were dropped before it came to them.
    Missed(u64),
}

/// An event that happens now.
#[must_use]
pub fn event(subject: EventSubject, action: &str, id: &str) -> Event {
    Event {
        time_ms: clock::wall_ms(),
        subject,
        action: action.to_owned(),
        id: id.to_owned(),
        name: None,
        attributes: BTreeMap::new(),
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new(None, Vec::new())
    }
}

impl Journal {
    /// A journal that begins with these events and writes what comes to `file`.
    #[must_use]
    pub fn new(file: Option<EventFile>, events: Vec<Event>) -> Self {
        let kept = Kept {
            events: events.into_iter().map(Arc::new).collect(),
            first: 0,
            file,
        };
        let grown = watch::Sender::new(kept.next());
        let kept = Mutex::new(kept);
        Self {
            inner: Arc::new(Inner {
                kept,
                grown,
                is_closed: AtomicBool::new(false),
            }),
        }
    }

    /// Notes that something happened. Waits for nobody.
    pub fn add(&self, event: Event) {
        let next = {
            let mut kept = self.lock();
            if let Some(file) = &mut kept.file {
                file.append(&event);
            }
            kept.events.push_back(Arc::new(event));
            while kept.events.len() > KEPT_MAX {
                kept.events.pop_front();
                kept.first += 1;
            }
            kept.next()
        };
        // Others may have come further by now.
        self.inner.grown.send_if_modified(|grown| {
            let is_more = *grown < next;
            *grown = next.max(*grown);
            is_more
        });
    }

    /// Somebody who is told what happens from now on, or since this time as far as it is kept.
    #[must_use]
    pub fn follow(&self, since_ms: Option<u64>) -> Follower {
        let grown = self.inner.grown.subscribe();
        let kept = self.lock();
        let next = since_ms.map_or(kept.next(), |since_ms| {
            let skipped = kept.events.iter().take_while(|event| event.time_ms < since_ms).count();
            kept.first + number(skipped)
        });
        drop(kept);
        Follower {
            journal: self.clone(),
            next,
            grown,
        }
    }

    /// Nothing will happen any more: those who follow come to an end.
    pub fn close(&self) {
        self.inner.is_closed.store(true, Ordering::Release);
        self.inner.grown.send_modify(|_| {});
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds the lock leaves a change half-done.
        self.inner.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn next(&self) -> u64 {
        self.first + number(self.events.len())
    }
}

impl Follower {
    /// What is there already; none where nothing is.
    pub fn ready(&mut self) -> Option<Next> {
        let kept = self.journal.lock();
        let Some(index) = self.next.checked_sub(kept.first) else {
            let missed = kept.first - self.next;
            self.next = kept.first;
            return Some(Next::Missed(missed));
        };
        let event = kept.events.get(usize::try_from(index).ok()?)?.clone();
        self.next += 1;
        Some(Next::Event(event))
    }

    /// Waits for what comes next; none where nothing will.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            self.grown.mark_unchanged();
            // Before the look at what is there: what was added before the end is not missed.
            let is_closed = self.journal.inner.is_closed.load(Ordering::Acquire);
            if let Some(next) = self.ready() {
                return Some(next);
            }
            if is_closed {
                return None;
            }
            // The sender lives as long as the journal, which this value holds.
            let _ = self.grown.changed().await;
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time_ms: u64) -> Event {
        Event {
            time_ms,
            ..event(EventSubject::Task, "running", "t")
        }
    }

    fn time(next: Next) -> u64 {
        match next {
            Next::Event(event) => event.time_ms,
            Next::Missed(count) => panic!("{count} missed"),
        }
    }

    #[test]
    fn what_happened_since_a_time_is_told_and_nothing_before() {
        let journal = Journal::default();
        (1..=5).for_each(|time_ms| journal.add(at(time_ms)));
        let mut follower = journal.follow(Some(4));
        assert_eq!(
            [time(follower.ready().unwrap()), time(follower.ready().unwrap())],
            [4, 5]
        );
        assert_eq!(follower.ready(), None);
        assert_eq!(journal.follow(None).ready(), None);
    }

    #[test]
    fn who_is_too_slow_is_told_how_much_was_missed() {
        let journal = Journal::default();
        let mut follower = journal.follow(None);
        for time_ms in 0..KEPT_MAX as u64 + 7 {
            journal.add(at(time_ms));
        }
        assert_eq!(follower.ready(), Some(Next::Missed(7)));
        assert_eq!(time(follower.ready().unwrap()), 7);
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let journal = Journal::default();
        let mut follower = journal.follow(None);
        let waiting = tokio::spawn(async move { (time(follower.next().await.unwrap()), follower.next().await) });
        tokio::task::yield_now().await;
        journal.add(at(9));
        journal.close();
        assert_eq!(waiting.await.unwrap(), (9, None));
    }
}
