//! The pages that a driver names: page numbers in a buffer, or buffers that are the pages themselves.

/// The size of a page, whatever the guest's own (virtio 1.2, 5.5.6).
pub const PAGE_BYTES: u64 = 4096;

/// The most page numbers of one request that are looked at. Linux sends as many; a page that is not looked at stays the
/// guest's.
pub const NUMBERS_MAX: usize = 256;

/// The length of a page number, in bytes.
pub const NUMBER_BYTES: usize = 4;

/// A stretch of whole pages of guest-physical addresses; at least one, and in front of the end of all addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pages {
    /// Where it begins; a multiple of [`PAGE_BYTES`].
    pub start: u64,
    /// How long it is; a multiple of [`PAGE_BYTES`].
    pub bytes: u64,
}

impl Pages {
    /// The whole pages of a buffer; `None` if there are none.
    #[must_use]
    pub fn inside(address: u64, bytes: u32) -> Option<Self> {
        let end = address.checked_add(u64::from(bytes))?;
        let start = address.checked_next_multiple_of(PAGE_BYTES)?;
        let bytes = end.checked_sub(start)?;
        let bytes = bytes - bytes % PAGE_BYTES;
        (bytes > 0).then_some(Self { start, bytes })
    }
}

/// Reads page numbers; a last one that is cut off is none.
pub fn parse(numbers: &[u8]) -> impl Iterator<Item = Pages> {
    let (numbers, _) = numbers.as_chunks::<NUMBER_BYTES>();
    numbers.iter().take(NUMBERS_MAX).map(|&number| Pages {
        start: u64::from(u32::from_le_bytes(number)) * PAGE_BYTES,
        bytes: PAGE_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_pages_of_a_buffer_count() {
        for (address, bytes, expected) in [
            (0, 0, None),
            (0, 4095, None),
            (0, 4096, Some((0, 4096))),
            (1, 8190, None),
            (1, 8191, Some((4096, 4096))),
            (4095, 8194, Some((4096, 8192))),
            (0x20_0000, 0x40_0fff, Some((0x20_0000, 0x40_0000))),
            (u64::MAX - 4095, 4095, None),
            (u64::MAX - 4095, 4096, None),
            (u64::MAX, 1, None),
            (u64::MAX - 8191, 4096, Some((u64::MAX - 8191, 4096))),
        ] {
            let expected = expected.map(|(start, bytes)| Pages { start, bytes });
            assert_eq!(Pages::inside(address, bytes), expected, "{bytes} from {address:#x} on");
        }
    }

    #[test]
    fn page_numbers_are_read_up_to_the_limit() {
        let starts = |numbers: &[u8]| parse(numbers).map(|pages| pages.start).collect::<Vec<_>>();
        assert_eq!(
            starts(&[1, 0, 0, 0, 255, 255, 255, 255, 7]),
            [0x1000, 0xffff_ffff * PAGE_BYTES]
        );
        assert!(starts(&[1, 0, 0]).is_empty());
        assert_eq!(starts(&[0; 4 * NUMBERS_MAX + 4]).len(), NUMBERS_MAX);
    }

    proptest! {
        #[test]
        fn whole_pages_lie_in_their_buffer(
            address in prop_oneof![any::<u64>(), 0u64..100_000],
            bytes in prop_oneof![any::<u32>(), 0u32..100_000],
        ) {
            let end = u128::from(address) + u128::from(bytes);
            if let Some(pages) = Pages::inside(address, bytes) {
                prop_assert!(pages.start >= address && u128::from(pages.start + pages.bytes) <= end);
                prop_assert!(pages.start.is_multiple_of(PAGE_BYTES) && pages.bytes.is_multiple_of(PAGE_BYTES));
                // No whole page is left over.
                prop_assert!(pages.start - address < PAGE_BYTES);
                prop_assert!(end - u128::from(pages.start + pages.bytes) < PAGE_BYTES.into());
            }
        }
    }
}
