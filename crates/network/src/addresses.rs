//! Who has which address: decides, and does nothing.
//!
//! What was given back longest ago is given out first, so that an address means nothing to anybody any more when it is somebody else's.

use std::collections::{BTreeSet, VecDeque};

/// A guest's number; its interface, its address and its hardware address follow from it.
pub type Index = u32;

/// The numbers of guests.
#[derive(Debug)]
pub struct Addresses {
    count: Index,
    /// The first that was never given out.
    unused: Index,
    taken: BTreeSet<Index>,
    /// Given back, longest ago first.
    returned: VecDeque<Index>,
}

impl Addresses {
    /// Numbers below `count`, of which `taken` are given out.
    #[must_use]
    pub fn new(count: Index, taken: impl IntoIterator<Item = Index>) -> Self {
        Self {
            count,
            unused: 0,
            taken: taken.into_iter().collect(),
            returned: VecDeque::new(),
        }
    }

    /// A number that nobody has; `None` where there is none.
    pub fn take(&mut self) -> Option<Index> {
        while self.unused < self.count {
            let index = self.unused;
            self.unused += 1;
            if self.taken.insert(index) {
                return Some(index);
            }
        }
        let index = self.returned.pop_front()?;
        self.taken.insert(index);
        Some(index)
    }

    /// Takes back what was given out; whether it was.
    pub fn give_back(&mut self, index: Index) -> bool {
        let was_taken = self.taken.remove(&index);
        // What was not given out by `take` yet will be.
        if was_taken && index < self.unused {
            self.returned.push_back(index);
        }
        was_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_given_back_longest_ago_comes_first() {
        let mut addresses = Addresses::new(3, []);
        assert_eq!(
            [addresses.take(), addresses.take(), addresses.take()],
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(addresses.take(), None);
        assert!(addresses.give_back(1) && addresses.give_back(0) && !addresses.give_back(0));
        assert_eq!(
            [addresses.take(), addresses.take(), addresses.take()],
            [Some(1), Some(0), None]
        );
    }

    #[test]
    fn what_others_have_is_not_given_out() {
        let mut addresses = Addresses::new(4, [0, 2]);
        assert_eq!(
            [addresses.take(), addresses.take(), addresses.take()],
            [Some(1), Some(3), None]
        );
        assert!(addresses.give_back(2));
        assert_eq!(addresses.take(), Some(2));
    }

    proptest! {
        #[test]
        fn nobody_has_what_another_has(count in 1u32..20, kept in prop::collection::btree_set(0u32..20, 0..5), steps in prop::collection::vec(any::<(bool, u32)>(), 0..80)) {
            let kept: BTreeSet<Index> = kept.into_iter().filter(|index| *index < count).collect();
            let mut addresses = Addresses::new(count, kept.clone());
            let mut held = kept;
            for (takes, which) in steps {
                if takes {
                    match addresses.take() {
                        Some(index) => prop_assert!(index < count && held.insert(index)),
                        None => prop_assert_eq!(held.len(), usize::try_from(count).unwrap()),
                    }
                } else {
                    prop_assert_eq!(addresses.give_back(which % 20), held.remove(&(which % 20)));
                }
            }
        }
    }
}
