//! A set of a disk's blocks that costs nothing for blocks that are not in it.

use std::collections::BTreeMap;
use std::ops::Range;

/// The blocks of one word.
const WORD_BLOCKS: u64 = 64;
/// The words of one chunk, which make half a KiB.
const CHUNK_WORDS: usize = 64;

/// A set of blocks, by number.
///
/// One bit a block, in chunks of 4,096 blocks that exist from the first of their blocks on; so a disk of n blocks never
/// has more than n / 4,096 of them, whatever its guest does.
#[derive(Debug, Default)]
pub(super) struct BlockSet {
    chunks: BTreeMap<u64, Box<Chunk>>,
}

type Chunk = [u64; CHUNK_WORDS];

/// The first of some blocks, and all behind it that are as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    /// Whether they are in the set.
    pub(super) inside: bool,
    /// The first block behind them.
    pub(super) end: u64,
}

impl BlockSet {
    pub(super) fn contains(&self, block: u64) -> bool {
        self.word(block / WORD_BLOCKS) >> (block % WORD_BLOCKS) & 1 != 0
    }

    /// What the first of `blocks` begins; at least that one is taken, and none behind the last.
    pub(super) fn run(&self, blocks: Range<u64>) -> Run {
        let inside = self.contains(blocks.start);
        let mut at = blocks.start + 1;
        while at < blocks.end {
            let word = self.word(at / WORD_BLOCKS);
            let others = if inside { !word } else { word } >> (at % WORD_BLOCKS);
            if others != 0 {
                at += u64::from(others.trailing_zeros());
                break;
            }
            at = (at / WORD_BLOCKS + 1) * WORD_BLOCKS;
        }
        Run {
            inside,
            end: at.min(blocks.end),
        }
    }

    pub(super) fn insert(&mut self, blocks: Range<u64>) {
        let mut at = blocks.start;
        while at < blocks.end {
            let first = at % WORD_BLOCKS;
            let count = (WORD_BLOCKS - first).min(blocks.end - at);
            *self.word_mut(at / WORD_BLOCKS) |= u64::MAX >> (WORD_BLOCKS - count) << first;
            at += count;
        }
    }

    fn word(&self, index: u64) -> u64 {
        let (chunk, word) = place(index);
        self.chunks.get(&chunk).map_or(0, |chunk| chunk[word])
    }

    fn word_mut(&mut self, index: u64) -> &mut u64 {
        let (chunk, word) = place(index);
        let chunk = self.chunks.entry(chunk).or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        &mut chunk[word]
    }
}

/// The chunk of a word, and its place in there.
fn place(word: u64) -> (u64, usize) {
    let words = CHUNK_WORDS as u64;
    #[expect(clippy::cast_possible_truncation, reason = "less than CHUNK_WORDS")]
    let place = (word % words) as usize;
    (word / words, place)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHUNK_BLOCKS: u64 = WORD_BLOCKS * CHUNK_WORDS as u64;

    #[test]
    fn only_chunks_with_blocks_in_them_exist() {
        let mut set = BlockSet::default();
        assert_eq!(
            set.run(0..1 << 23),
            Run {
                inside: false,
                end: 1 << 23,
            }
        );
        assert!(set.chunks.is_empty());
        set.insert(7 * CHUNK_BLOCKS - 1..7 * CHUNK_BLOCKS + 1);
        assert_eq!(set.chunks.len(), 2);
        set.insert(5..5);
        assert_eq!(set.chunks.len(), 2);
    }

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(
            inserts in prop::collection::vec((0u64..3 * CHUNK_BLOCKS, prop_oneof![0u64..5, 0u64..200, 0..CHUNK_BLOCKS * 2]), 0..8),
            looks in prop::collection::vec((0u64..3 * CHUNK_BLOCKS, 1u64..CHUNK_BLOCKS * 2), 1..8),
        ) {
            let mut set = BlockSet::default();
            let mut expected = vec![false; usize::try_from(5 * CHUNK_BLOCKS).unwrap()];
            for (start, count) in inserts {
                set.insert(start..start + count);
                expected[usize::try_from(start).unwrap()..][..usize::try_from(count).unwrap()].fill(true);
            }
            let mut at = 0;
            while at < 5 * CHUNK_BLOCKS {
                let run = set.run(at..5 * CHUNK_BLOCKS);
                let blocks = &expected[usize::try_from(at).unwrap()..usize::try_from(run.end).unwrap()];
                prop_assert!(!blocks.is_empty() && blocks.iter().all(|&inside| inside == run.inside));
                prop_assert_eq!(set.contains(at), run.inside);
                at = run.end;
            }
            for (start, count) in looks {
                let blocks = &expected[usize::try_from(start).unwrap()..][..usize::try_from(count).unwrap()];
                let same = blocks.iter().take_while(|&&inside| inside == blocks[0]).count() as u64;
                prop_assert_eq!(set.run(start..start + count), Run { inside: blocks[0], end: start + same });
            }
        }
    }
}
