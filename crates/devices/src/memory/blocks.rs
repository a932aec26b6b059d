//! Which blocks are plugged: decides what a request is answered, and does nothing else.

use std::ops::Range;

use crate::memory::request::{Response, State};

/// The blocks of the usable region.
#[derive(Debug)]
pub(super) struct Blocks {
    /// For each block whether it is plugged.
    plugged: Vec<bool>,
    /// How many are.
    count: usize,
    /// How many may be.
    count_max: usize,
}

impl Blocks {
    /// So many unplugged blocks, of which `count_max` may be plugged.
    pub(super) fn new(usable: usize, count_max: usize) -> Self {
        Self {
            plugged: vec![false; usable],
            count: 0,
            count_max,
        }
    }

    /// How many blocks are plugged.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Plugs blocks of which none is plugged.
    pub(super) fn plug(&mut self, range: Range<usize>) -> Response {
        match self.plugged.get_mut(range) {
            Some(blocks) if state(blocks) == State::Unplugged => {
                if blocks.len() > self.count_max - self.count {
                    return Response::TooMuch;
                }
                blocks.fill(true);
                self.count += blocks.len();
                Response::Acknowledged
            }
            _ => Response::Nonsense,
        }
    }

    /// Unplugs blocks of which all are plugged.
    pub(super) fn unplug(&mut self, range: Range<usize>) -> Response {
        match self.plugged.get_mut(range) {
            Some(blocks) if state(blocks) == State::Plugged => {
                blocks.fill(false);
                self.count -= blocks.len();
                Response::Acknowledged
            }
            _ => Response::Nonsense,
        }
    }

    /// Unplugs every block.
    pub(super) fn unplug_all(&mut self) -> Response {
        self.plugged.fill(false);
        self.count = 0;
        Response::Acknowledged
    }

    /// Whether blocks are plugged.
    pub(super) fn state(&self, range: Range<usize>) -> Response {
        let blocks = self.plugged.get(range);
        blocks.map_or(Response::Nonsense, |blocks| Response::Is(state(blocks)))
    }
}

fn state(blocks: &[bool]) -> State {
    match (blocks.contains(&true), blocks.contains(&false)) {
        (true, true) => State::Mixed,
        (true, false) => State::Plugged,
        (false, _) => State::Unplugged,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_more_is_plugged_than_requested() {
        let mut blocks = Blocks::new(64, 3);
        assert_eq!(blocks.plug(0..4), Response::TooMuch);
        assert_eq!(blocks.plug(10..12), Response::Acknowledged);
        assert_eq!(blocks.plug(20..22), Response::TooMuch);
        assert_eq!(blocks.plug(63..64), Response::Acknowledged);
        assert_eq!(blocks.plug(0..1), Response::TooMuch);
        assert_eq!(blocks.count(), 3);
        assert_eq!(blocks.unplug(11..12), Response::Acknowledged);
        assert_eq!(blocks.plug(0..1), Response::Acknowledged);
    }

    #[test]
    fn a_plugged_block_cannot_be_plugged_even_where_it_would_be_too_much() {
        let mut blocks = Blocks::new(4, 1);
        assert_eq!(blocks.plug(1..2), Response::Acknowledged);
        assert_eq!(blocks.plug(1..2), Response::Nonsense);
        assert_eq!(blocks.plug(0..4), Response::Nonsense);
        assert_eq!(blocks.plug(2..4), Response::TooMuch);
    }

    #[test]
    fn only_plugged_blocks_can_be_unplugged() {
        let mut blocks = Blocks::new(8, 8);
        assert_eq!(blocks.unplug(0..1), Response::Nonsense);
        blocks.plug(2..6);
        assert_eq!(blocks.unplug(5..7), Response::Nonsense);
        assert_eq!(blocks.unplug(3..5), Response::Acknowledged);
        assert_eq!(blocks.state(2..3), Response::Is(State::Plugged));
        assert_eq!(blocks.state(3..5), Response::Is(State::Unplugged));
        assert_eq!(blocks.state(2..6), Response::Is(State::Mixed));
        assert_eq!(blocks.unplug_all(), Response::Acknowledged);
        assert_eq!(blocks.state(0..8), Response::Is(State::Unplugged));
        assert_eq!(blocks.count(), 0);
    }

    #[test]
    fn blocks_that_do_not_exist_make_no_sense() {
        let mut blocks = Blocks::new(8, 8);
        assert_eq!(blocks.plug(8..9), Response::Nonsense);
        assert_eq!(blocks.unplug(0..9), Response::Nonsense);
        assert_eq!(blocks.state(usize::MAX - 1..usize::MAX), Response::Nonsense);
    }

    proptest! {
        /// The same as a set of numbers, whatever is asked.
        #[test]
        fn answers_are_those_of_a_set(
            count_max in 0usize..=24,
            requests in prop::collection::vec((0u8..4, 0usize..24, 1usize..12), 0..60),
        ) {
            let mut blocks = Blocks::new(24, count_max);
            let mut model = BTreeSet::new();
            for (kind, first, length) in requests {
                let range = first..(first + length).min(24);
                let set: BTreeSet<usize> = range.clone().collect();
                let (all, none) = (set.is_subset(&model), set.is_disjoint(&model));
                match kind {
                    0 => {
                        let expected = match none {
                            false => Response::Nonsense,
                            true if model.len() + set.len() > count_max => Response::TooMuch,
                            true => {
                                model.extend(&set);
                                Response::Acknowledged
                            }
                        };
                        prop_assert_eq!(blocks.plug(range), expected);
                    }
                    1 => {
                        let expected = if all { Response::Acknowledged } else { Response::Nonsense };
                        if all {
                            model.retain(|block| !set.contains(block));
                        }
                        prop_assert_eq!(blocks.unplug(range), expected);
                    }
                    2 => {
                        let expected = match (all, none) {
                            (true, _) => State::Plugged,
                            (_, true) => State::Unplugged,
                            _ => State::Mixed,
                        };
                        prop_assert_eq!(blocks.state(range), Response::Is(expected));
                    }
                    _ if length == 1 => {
                        model.clear();
                        prop_assert_eq!(blocks.unplug_all(), Response::Acknowledged);
                    }
                    _ => {}
                }
                prop_assert_eq!(blocks.count(), model.len());
                prop_assert!(blocks.count() <= count_max);
            }
        }
    }
}
