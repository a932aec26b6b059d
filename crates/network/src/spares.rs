//! Interfaces that wait for a guest: decides how many there are and who is next; does nothing.

use std::collections::VecDeque;

use crate::addresses::{Addresses, Index};

/// Guests' numbers whose interfaces are ready, and all others.
#[derive(Debug)]
pub(crate) struct Spares {
    wanted: usize,
    addresses: Addresses,
    /// Ready, longest waiting first.
    ready: VecDeque<Index>,
}

impl Spares {
    /// None yet; `wanted` of them are to be kept, of `count` numbers of which `taken` are guests'.
    pub(crate) fn new(wanted: usize, count: Index, taken: Vec<Index>) -> Self {
        Self {
            wanted: wanted.max(1),
            addresses: Addresses::new(count, taken),
            ready: VecDeque::new(),
        }
    }

    /// The next one, and whether it is time to make more.
    pub(crate) fn take(&mut self) -> (Option<Index>, bool) {
        let taken = self.ready.pop_front();
        (taken, self.ready.len() <= self.wanted / 2)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Numbers for which interfaces are to be made; they are nobody else's from now on.
    pub(crate) fn missing(&mut self) -> Vec<Index> {
        let missing = self.wanted.saturating_sub(self.ready.len());
        (0..missing).map_while(|_| self.addresses.take()).collect()
    }

    /// The interfaces of these are ready.
    pub(crate) fn put(&mut self, guests: &[Index]) {
        self.ready.extend(guests);
    }

    /// The interfaces of these are no more.
    pub(crate) fn forget(&mut self, guests: &[Index]) {
        for &guest in guests {
            self.addresses.give_back(guest);
        }
    }

    /// Those that are ready beyond twice what is wanted: they are to be removed, and then forgotten.
    pub(crate) fn surplus(&mut self) -> Vec<Index> {
        let kept = if self.ready.len() > 2 * self.wanted {
            self.wanted
        } else {
            self.ready.len()
        };
        self.ready.drain(kept..).collect()
    }

    /// All of them, to be removed; no more are made.
    pub(crate) fn take_all(&mut self) -> Vec<Index> {
        self.wanted = 0;
        self.ready.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_are_made_when_half_are_gone() {
        let mut spares = Spares::new(4, 100, vec![0]);
        assert_eq!(spares.take(), (None, true));
        let made = spares.missing();
        assert_eq!(made, [1, 2, 3, 4]);
        spares.put(&made);
        assert_eq!(spares.take(), (Some(1), false));
        assert_eq!(spares.take(), (Some(2), true));
        assert_eq!(spares.missing(), [5, 6]);
    }

    #[test]
    fn what_comes_back_waits_behind_the_others_and_too_many_go() {
        let mut spares = Spares::new(2, 100, Vec::new());
        let made = spares.missing();
        spares.put(&made);
        let (first, _) = spares.take();
        spares.put(&[first.unwrap()]);
        assert_eq!(spares.take().0, Some(1));
        spares.put(&[1, 7, 8, 9]);
        assert_eq!(spares.surplus(), [7, 8, 9]);
        assert!(spares.surplus().is_empty());
        spares.forget(&[7, 8, 9]);
    }

    #[test]
    fn when_all_are_taken_no_more_are_made() {
        let mut spares = Spares::new(2, 100, Vec::new());
        let made = spares.missing();
        spares.put(&made);
        assert_eq!(spares.take_all(), made);
        assert!(spares.missing().is_empty());
    }

    #[test]
    fn an_empty_network_has_none() {
        let mut spares = Spares::new(8, 2, Vec::new());
        assert_eq!(spares.missing(), [0, 1]);
        assert!(spares.missing().is_empty());
        spares.forget(&[0]);
        assert_eq!(spares.missing(), [0]);
    }
}
