//! What lies where in a window: files one behind the other, as a disk that is a concatenation has them.

use thiserror::Error;

use crate::parts;

/// The place of one file in a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Extent {
    /// Where it begins, in bytes from the window's begin; a multiple of 4 KiB.
    pub offset: u64,
    /// How much of the window it takes, in bytes; a multiple of 4 KiB, so that the last page of a mapping is taken as a whole.
    /// The system fills that page with zeros behind the file's end. An empty file takes nothing, and there is nothing to map.
    pub bytes: u64,
}

/// Why files do not fit.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LayoutError {
    /// They are longer together than the window.
    #[error("part {index} ends behind the end of a window of {window_bytes} bytes")]
    TooLarge {
        /// The place of the first part that does not fit, from 0.
        index: usize,
        /// The window's length.
        window_bytes: u64,
    },
}

/// The places of files of these lengths, in bytes and in this order, in a window of `window_bytes`.
///
/// # Errors
///
/// When they do not fit.
pub fn layout(parts: &[u64], window_bytes: u64) -> Result<Vec<Extent>, LayoutError> {
    let mut offset = 0;
    let extents = parts.iter().enumerate().map(|(index, &bytes)| {
        let end = parts::end(offset, bytes)
            .filter(|&end| end <= window_bytes)
            .ok_or(LayoutError::TooLarge { index, window_bytes })?;
        let extent = Extent {
            offset,
            bytes: end - offset,
        };
        offset = end;
        Ok(extent)
    });
    extents.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(parts: &[u64], window_bytes: u64, expected: Result<&[(u64, u64)], usize>) {
        let expected = expected
            .map(|extents| {
                let extents = extents.iter().map(|&(offset, bytes)| Extent { offset, bytes });
                extents.collect()
            })
            .map_err(|index| LayoutError::TooLarge { index, window_bytes });
        assert_eq!(layout(parts, window_bytes), expected);
    }

    #[test]
    fn each_part_begins_at_a_page() {
        check(&[], 0, Ok(&[]));
        check(&[1, 4096, 5000], 1 << 20, Ok(&[(0, 4096), (4096, 4096), (8192, 8192)]));
    }

    #[test]
    fn an_empty_part_takes_nothing() {
        check(&[0, 10, 0], 4096, Ok(&[(0, 0), (0, 4096), (4096, 0)]));
    }

    #[test]
    fn parts_may_fill_the_window_and_no_more() {
        check(&[4097], 8192, Ok(&[(0, 8192)]));
        check(&[4097], 8191, Err(0));
        check(&[4096, 4096, 1], 8192, Err(2));
        check(&[4096, u64::MAX], u64::MAX, Err(1));
        check(&[u64::MAX - 4095, 4096], u64::MAX, Err(1));
    }

    proptest! {
        #[test]
        fn extents_touch_and_stay_inside(
            parts in prop::collection::vec(0u64..100_000, 0..8),
            window_bytes in 0u64..800_000,
        ) {
            let needed: u64 = parts.iter().map(|bytes| bytes.next_multiple_of(4096)).sum();
            let Ok(extents) = layout(&parts, window_bytes) else {
                prop_assert!(needed > window_bytes);
                return Ok(());
            };
            prop_assert!(needed <= window_bytes);
            prop_assert_eq!(extents.len(), parts.len());
            let mut end = 0;
            for (extent, bytes) in extents.iter().zip(parts) {
                prop_assert_eq!(extent.offset, end);
                prop_assert!(extent.bytes >= bytes && extent.bytes - bytes < 4096);
                end += extent.bytes;
            }
            prop_assert_eq!(end, needed);
        }
    }
}
