//! What is in use although no image names it yet, or no longer: layers of a running pull, files of a given snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

/// Counts of who holds what. Shared by pulls, snapshots and the sweep, which run on different threads.
#[derive(Clone, Debug, Default)]
pub struct Holds(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    counts: HashMap<Digest, usize>,
    /// What nobody else needs: it goes with its last hold.
    leftovers: HashSet<Digest>,
}

/// Keeps digests from the sweep until dropped.
#[derive(Debug)]
pub struct Hold {
    holds: Holds,
    digests: Vec<Digest>,
}

impl Holds {
    /// Holds `digests`, whether they are stored yet or not.
    #[must_use]
    pub fn hold(&self, digests: Vec<Digest>) -> Hold {
        let mut held = self.lock();
        for digest in &digests {
            *held.counts.entry(*digest).or_default() += 1;
        }
        Hold {
            holds: self.clone(),
            digests,
        }
    }

    /// Runs `act`, which must be short, unless somebody holds `digest`; nobody can begin to meanwhile. Where somebody does,
    /// it is known from now on that nobody else needs it.
    pub fn unless_held<T>(&self, digest: &Digest, act: impl FnOnce() -> T) -> Option<T> {
        let mut held = self.lock();
        if held.counts.contains_key(digest) {
            held.leftovers.insert(*digest);
            return None;
        }
        Some(act())
    }

    /// Whether somebody holds `digest` now.
    #[must_use]
    pub fn is_held(&self, digest: &Digest) -> bool {
        self.lock().counts.contains_key(digest)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hold {
    /// Lets go. Answers whether something is left that nobody needs any more.
    #[must_use]
    pub fn release(mut self) -> bool {
        self.let_go()
    }

    fn let_go(&mut self) -> bool {
        let mut held = self.holds.lock();
        let mut is_left = false;
        for digest in std::mem::take(&mut self.digests) {
            let Some(count) = held.counts.get_mut(&digest) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                held.counts.remove(&digest);
                is_left |= held.leftovers.remove(&digest);
            }
        }
        is_left
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// One gate per digest: who makes a layer or a snapshot passes alone, so that others find it made.
#[derive(Clone, Debug, Default)]
pub struct Gates(Arc<Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>>);

/// Having passed a gate; dropping lets the next one in.
#[derive(Debug)]
pub struct Passage {
    gates: Gates,
    digest: Digest,
    guard: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Gates {
    /// Waits until nobody else is inside.
    pub async fn pass(&self, digest: Digest) -> Passage {
        let gate = {
            let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            gates.entry(digest).or_default().clone()
        };
        let guard = Some(gate.lock_owned().await);
        Passage {
            gates: self.clone(),
            digest,
            guard,
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.guard = None;
        let mut gates = self.gates.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's own is the only one left: nobody waits.
        if gates.get(&self.digest).is_some_and(|gate| Arc::strong_count(gate) == 1) {
            gates.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_hold_is_held_until_both_let_go() {
        let holds = Holds::default();
        let digest = Digest::of(b"a");
        let first = holds.hold(vec![digest, digest]);
        let second = holds.hold(vec![digest]);
        drop(first);
        assert_eq!(holds.unless_held(&digest, || ()), None);
        assert!(second.release(), "nobody else needed it");
        assert_eq!(holds.unless_held(&digest, || ()), Some(()));
        assert!(!holds.hold(vec![digest]).release());
    }

    #[tokio::test]
    async fn one_passes_a_gate_at_a_time_and_gates_do_not_pile_up() {
        let gates = Gates::default();
        let digest = Digest::of(b"a");
        let first = gates.pass(digest).await;
        let _other_gate = gates.pass(Digest::of(b"b")).await;
        let mut second = Box::pin(gates.pass(digest));
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        drop(first);
        drop(second.await);
        assert_eq!(gates.0.lock().unwrap().len(), 1);
    }
}
