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

    #[test]
    fn ends_that_are_no_number_are_none() {
        assert_eq!(end(0, u64::MAX), None);
        assert_eq!(end(u64::MAX - 8191, 8192), None);
    }
}
