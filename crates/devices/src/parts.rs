//! Files one behind the other: where each begins, for the disks and the memory that are made of them.

/// What the begin of each part is a multiple of, in bytes.
pub const ALIGNMENT_BYTES: u64 = 4096;

/// Where the part behind one of `bytes` bytes at `start` begins; `None` where that is not a number.
pub fn end(start: u64, bytes: u64) -> Option<u64> {
    start.checked_add(bytes.checked_next_multiple_of(ALIGNMENT_BYTES)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_at_blocks() {
        assert_eq!(end(0, 0), Some(0));
        assert_eq!(end(4096, 1), Some(8192));
        assert_eq!(end(4096, 4096), Some(8192));
        assert_eq!(end(4096, 4097), Some(12_288));
    }

    /// All that can go wrong goes wrong near a multiple of the alignment or near the last number.
    #[test]
    fn every_end_is_that_of_whole_numbers() {
        let near = |place: u64| (0..=2).flat_map(move |by| [place.checked_sub(by), place.checked_add(by)]);
        let places = [0, 1, 2, 3, 1 << 20, (1 << 52) - 2, (1 << 52) - 1].map(|block| block * ALIGNMENT_BYTES);
        let sizes: Vec<u64> = places.into_iter().chain([u64::MAX]).flat_map(near).flatten().collect();
        for start in places {
            for &bytes in &sizes {
                let exact = u128::from(start) + u128::from(bytes).next_multiple_of(ALIGNMENT_BYTES.into());
                assert_eq!(end(start, bytes), u64::try_from(exact).ok(), "{bytes} bytes at {start}");
            }
        }
    }

    #[test]
    fn ends_that_are_no_number_are_none() {
        assert_eq!(end(0, u64::MAX), None);
        assert_eq!(end(u64::MAX - 8191, 8192), None);
    }
}
