//! Where a memory device's blocks lie, and how many of them the guest may have.

use thiserror::Error;

/// The unit in which memory is plugged, in bytes: a huge page of the host.
pub const BLOCK_BYTES: u64 = 2 << 20;

/// The unit in which Linux 6.12 on x86-64 makes memory known to itself, in bytes. It plugs blocks into as many of these as it
/// needs and leaves out those that do not lie inside the usable region as a whole.
pub const LINUX_SECTION_BYTES: u64 = 128 << 20;

/// The largest region, in bytes: bounds the host memory that remembers which blocks are plugged (a byte for each).
pub const REGION_BYTES_MAX: u64 = 1 << 40;

/// A stretch of guest-physical addresses that belongs to one memory device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// Where it begins; a multiple of [`LINUX_SECTION_BYTES`].
    pub start: u64,
    /// How long it is; a multiple of [`BLOCK_BYTES`], at most [`REGION_BYTES_MAX`]. A driver reads it once: clones have it as
    /// their template has.
    pub bytes: u64,
    /// How much of it shall be plugged, and the most that can be; a multiple of [`BLOCK_BYTES`], at most `bytes`.
    pub requested_bytes: u64,
}

/// A region that no device can have.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RegionError {
    /// It begins at the wrong place.
    #[error("a memory region cannot begin at {start:#x}, which is no multiple of {LINUX_SECTION_BYTES}")]
    Start {
        /// Where it begins.
        start: u64,
    },
    /// It is too long, or no number of blocks, or there are not so many addresses.
    #[error("a memory region cannot have {bytes} bytes from {start:#x} on")]
    Length {
        /// Where it begins.
        start: u64,
        /// How long it is.
        bytes: u64,
    },
    /// It cannot hold what is requested, or that is no number of blocks.
    #[error("{requested_bytes} bytes cannot be plugged into a memory region of {bytes}")]
    Requested {
        /// What is requested.
        requested_bytes: u64,
        /// How long the region is.
        bytes: u64,
    },
}

impl Region {
    /// The length of the usable part, in bytes: all plugged blocks lie in it, so it is all that needs memory behind it. As many
    /// of Linux's sections as hold what is requested.
    #[must_use]
    pub fn usable_bytes(self) -> u64 {
        let sections = self.requested_bytes.checked_next_multiple_of(LINUX_SECTION_BYTES);
        sections.map_or(self.bytes, |bytes| bytes.min(self.bytes))
    }

    pub(super) fn check(self) -> Result<(), RegionError> {
        let Self {
            start,
            bytes,
            requested_bytes,
        } = self;
        if !start.is_multiple_of(LINUX_SECTION_BYTES) {
            return Err(RegionError::Start { start });
        }
        if !bytes.is_multiple_of(BLOCK_BYTES) || bytes > REGION_BYTES_MAX || start.checked_add(bytes).is_none() {
            return Err(RegionError::Length { start, bytes });
        }
        if !requested_bytes.is_multiple_of(BLOCK_BYTES) || requested_bytes > bytes {
            return Err(RegionError::Requested { requested_bytes, bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_usable_part_is_what_linux_needs_for_the_request() {
        for (requested_mib, usable_mib) in [(0, 0), (2, 128), (128, 128), (130, 256), (300, 300)] {
            let region = Region {
                start: 4 << 30,
                bytes: 300 * MIB,
                requested_bytes: requested_mib * MIB,
            };
            assert_eq!(region.check(), Ok(()));
            assert_eq!(region.usable_bytes(), usable_mib * MIB);
        }
    }

    #[test]
    fn regions_that_no_device_can_have_are_named() {
        let check = |start, bytes, requested_bytes, expected: &str| {
            let region = Region {
                start,
                bytes,
                requested_bytes,
            };
            assert_eq!(region.check().unwrap_err().to_string(), expected);
        };
        check(
            2 * MIB,
            4 * MIB,
            0,
            "a memory region cannot begin at 0x200000, which is no multiple of 134217728",
        );
        check(0, MIB, 0, "a memory region cannot have 1048576 bytes from 0x0 on");
        check(
            0,
            2 << 40,
            0,
            "a memory region cannot have 2199023255552 bytes from 0x0 on",
        );
        check(
            u64::MAX - LINUX_SECTION_BYTES + 1,
            256 * MIB,
            0,
            "a memory region cannot have 268435456 bytes from 0xfffffffff8000000 on",
        );
        check(
            0,
            4 * MIB,
            6 * MIB,
            "6291456 bytes cannot be plugged into a memory region of 4194304",
        );
        check(
            0,
            4 * MIB,
            1,
            "1 bytes cannot be plugged into a memory region of 4194304",
        );
    }
}
