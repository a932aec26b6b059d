//! Which pages every clone of a template writes, and which it reads, when it starts: learned from the first ones.

use std::path::Path;
use std::{fs, io};

use protocol::vmm::TOUCHED_RANGES_MAX;

/// Pages of base memory: the number of the first, and how many.
pub type Range = (u32, u32);

/// The most pages that are copied in advance: 8 MiB. A start that writes more is none that others are like.
const WRITTEN_MAX: u32 = 2048;

/// The most pages that are mapped in advance. They cost no memory but their entries in page tables.
const MAPPED_MAX: u32 = 8192;

/// What the name of a file ends with that is being written.
const UNFINISHED: &str = "new";

/// Pages between two ranges that are copied with them: fewer calls for a few pages more.
const GAP_MAX: u32 = 1;

/// Pages that clones touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// What they write.
    pub written: Vec<Range>,
    /// What they write or read.
    pub mapped: Vec<Range>,
}

/// What is known.
#[derive(Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nothing.
    Unknown,
    /// What one clone has touched.
    Once(Pages),
    /// It was kept.
    Known,
}

impl Touched {
    /// Adds what another clone has `written` and `mapped`; gives what is to be kept, once that is known.
    pub fn add(&mut self, written: &[Range], mapped: &[Range]) -> Option<Pages> {
        match std::mem::replace(self, Self::Known) {
            Self::Unknown => {
                *self = Self::Once(Pages {
                    written: written.to_vec(),
                    mapped: mapped.to_vec(),
                });
                None
            }
            Self::Once(first) => Some(Pages {
                written: bounded(&joined(&common(&first.written, written)), WRITTEN_MAX),
                mapped: bounded(&joined(&common(&first.mapped, mapped)), MAPPED_MAX),
            }),
            Self::Known => None,
        }
    }
}

/// The pages that are in both; each list is in order, and its ranges are apart.
fn common(one: &[Range], other: &[Range]) -> Vec<Range> {
    let mut common = Vec::new();
    let (mut ones, mut others) = (one.iter().copied().peekable(), other.iter().copied().peekable());
    while let (Some(a), Some(b)) = (ones.peek().copied(), others.peek().copied()) {
        let first = a.0.max(b.0);
        let (a_end, b_end) = (a.0.saturating_add(a.1), b.0.saturating_add(b.1));
        let end = a_end.min(b_end);
        if first < end {
            common.push((first, end - first));
        }
        if a_end <= b_end {
            ones.next();
        } else {
            others.next();
        }
    }
    common
}

/// The ranges without small gaps.
fn joined(ranges: &[Range]) -> Vec<Range> {
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, count) in ranges.iter().copied() {
        match joined.last_mut() {
            Some((start, len)) if first - (*start + *len) <= GAP_MAX => *len = first + count - *start,
            _ => joined.push((first, count)),
        }
    }
    joined
}

/// As many of the ranges as may be kept.
fn bounded(ranges: &[Range], pages_max: u32) -> Vec<Range> {
    let mut pages = 0_u32;
    let fits = |range: &&Range| {
        pages = pages.saturating_add(range.1);
        pages <= pages_max
    };
    ranges
        .iter()
        .take_while(fits)
        .take(TOUCHED_RANGES_MAX)
        .copied()
        .collect()
}

/// Keeps `ranges` in the file at `path`, for the VMMs of clones to come.
pub fn keep(path: &Path, ranges: &[Range]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    fs::write(&unfinished, encode(ranges))?;
    fs::rename(&unfinished, path)
}

/// The ranges as a VMM reads them.
fn encode(ranges: &[Range]) -> Vec<u8> {
    ranges
        .iter()
        .flat_map(|(first, count)| [first.to_le_bytes(), count.to_le_bytes()])
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn two_clones_teach_what_they_have_in_common() {
        let mut touched = Touched::Unknown;
        assert_eq!(touched.add(&[(1, 3), (10, 1)], &[(0, 20)]), None);
        let common = Pages {
            written: vec![(2, 2)],
            mapped: vec![(2, 9)],
        };
        assert_eq!(touched.add(&[(2, 5)], &[(2, 9)]), Some(common));
        assert_eq!(touched.add(&[(2, 5)], &[(2, 5)]), None);
        assert_eq!(touched, Touched::Known);
    }

    #[test]
    fn small_gaps_are_copied_too() {
        assert_eq!(joined(&[(1, 2), (4, 1), (7, 1)]), [(1, 4), (7, 1)]);
    }

    #[test]
    fn too_much_is_left_out() {
        assert_eq!(
            bounded(&[(0, 2000), (3000, 40), (4000, 9)], 2048),
            [(0, 2000), (3000, 40)]
        );
    }

    #[test]
    fn a_range_is_two_numbers() {
        assert_eq!(encode(&[(1, 2)]), [1, 0, 0, 0, 2, 0, 0, 0]);
    }

    fn ranges(pages: &BTreeSet<u32>) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for page in pages {
            match ranges.last_mut() {
                Some((first, count)) if *first + *count == *page => *count += 1,
                _ => ranges.push((*page, 1)),
            }
        }
        ranges
    }

    proptest! {
        #[test]
        fn what_is_common_is_in_both(
            one in prop::collection::btree_set(0_u32..64, 0..40),
            other in prop::collection::btree_set(0_u32..64, 0..40),
        ) {
            let expected: BTreeSet<u32> = one.intersection(&other).copied().collect();
            let found: BTreeSet<u32> = common(&ranges(&one), &ranges(&other))
                .into_iter()
                .flat_map(|(first, count)| first..first + count)
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
