//! virtio-mem requests (virtio 1.2, 5.15.6): hostile bytes in, a request for blocks of the usable region out.

use std::ops::Range;

use crate::memory::region::{BLOCK_BYTES, Region};

/// The length of a request, in bytes.
pub const REQUEST_BYTES: usize = 24;
/// The length of a response, in bytes.
pub const RESPONSE_BYTES: usize = 10;

const PLUG: u16 = 0;
const UNPLUG: u16 = 1;
const UNPLUG_ALL: u16 = 2;
const STATE: u16 = 3;

/// A request; its blocks lie in the usable part of the region, counted from its begin, and are at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Make these blocks memory.
    Plug(Range<usize>),
    /// Take these blocks away.
    Unplug(Range<usize>),
    /// Take every block away.
    UnplugAll,
    /// Say whether these blocks are plugged.
    State(Range<usize>),
}

/// Whether blocks are plugged; the value of the response's field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum State {
    /// All of them are.
    Plugged = 0,
    /// None of them is.
    Unplugged = 1,
    /// Some of them are.
    Mixed = 2,
}

/// What the device says. There is no `BUSY`: a request can be dealt with at any time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Response {
    /// It was done.
    Acknowledged,
    /// These blocks are so.
    Is(State),
    /// More is plugged already than would leave room for it.
    TooMuch,
    /// It makes no sense.
    Nonsense,
}

/// A request that makes no sense, to be answered with [`Response::Nonsense`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

/// Reads a request to a device with this region.
///
/// # Errors
///
/// When it is too short or unknown, or names blocks that do not lie in the usable part of the region, or none.
pub fn parse(bytes: &[u8], region: Region) -> Result<Request, Malformed> {
    let bytes = bytes.first_chunk::<REQUEST_BYTES>().ok_or(Malformed)?;
    match u16_at(bytes, 0) {
        PLUG => Ok(Request::Plug(blocks(bytes, region)?)),
        UNPLUG => Ok(Request::Unplug(blocks(bytes, region)?)),
        UNPLUG_ALL => Ok(Request::UnplugAll),
        STATE => Ok(Request::State(blocks(bytes, region)?)),
        _ => Err(Malformed),
    }
}

/// The blocks of a request: the address of the first, and how many. All else is padding, which may hold anything.
fn blocks(bytes: &[u8; REQUEST_BYTES], region: Region) -> Result<Range<usize>, Malformed> {
    let offset = u64_at(bytes, 8).checked_sub(region.start).ok_or(Malformed)?;
    let count = u64::from(u16_at(bytes, 16));
    let first = offset / BLOCK_BYTES;
    // A quotient of a number of 64 bits leaves room for one of 16.
    let end = first + count;
    if !offset.is_multiple_of(BLOCK_BYTES) || count == 0 || end > region.usable_bytes() / BLOCK_BYTES {
        return Err(Malformed);
    }
    let index = |block| usize::try_from(block).map_err(|_| Malformed);
    Ok(index(first)?..index(end)?)
}

impl Response {
    /// As it is told to the driver.
    #[must_use]
    pub fn to_bytes(self) -> [u8; RESPONSE_BYTES] {
        let (kind, state): (u16, u16) = match self {
            Self::Acknowledged => (0, 0),
            Self::Is(state) => (0, state as u16),
            Self::TooMuch => (1, 0),
            Self::Nonsense => (3, 0),
        };
        let mut bytes = [0; RESPONSE_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[8..].copy_from_slice(&state.to_le_bytes());
        bytes
    }
}

fn u16_at(bytes: &[u8; REQUEST_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8; REQUEST_BYTES], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: u64 = 4 << 30;
    /// 64 of 256 blocks are usable.
    const REGION: Region = Region {
        start: START,
        bytes: 512 << 20,
        requested_bytes: 4 << 20,
    };

    fn bytes(kind: u16, address: u64, count: u16) -> [u8; REQUEST_BYTES] {
        // The padding is not looked at.
        let mut bytes = [0xee; REQUEST_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[8..16].copy_from_slice(&address.to_le_bytes());
        bytes[16..18].copy_from_slice(&count.to_le_bytes());
        bytes
    }

    fn check(kind: u16, address: u64, count: u16, expected: Result<Request, Malformed>) {
        assert_eq!(parse(&bytes(kind, address, count), REGION), expected);
    }

    #[test]
    fn blocks_are_counted_from_the_begin_of_the_region() {
        check(PLUG, START, 1, Ok(Request::Plug(0..1)));
        check(UNPLUG, START + 3 * BLOCK_BYTES, 2, Ok(Request::Unplug(3..5)));
        check(STATE, START, 64, Ok(Request::State(0..64)));
        check(PLUG, START + 63 * BLOCK_BYTES, 1, Ok(Request::Plug(63..64)));
        check(UNPLUG_ALL, 1, 0, Ok(Request::UnplugAll));
    }

    #[test]
    fn blocks_outside_the_usable_part_make_no_sense() {
        for kind in [PLUG, UNPLUG, STATE] {
            for (address, count) in [
                (START, 0),
                (START, 65),
                (START, u16::MAX),
                (START + 1, 1),
                (START + 4096, 1),
                (START + 63 * BLOCK_BYTES, 2),
                (START + 64 * BLOCK_BYTES, 1),
                (START - BLOCK_BYTES, 1),
                (0, 1),
                (u64::MAX, 1),
                (u64::MAX - BLOCK_BYTES + 1, u16::MAX),
            ] {
                check(kind, address, count, Err(Malformed));
            }
        }
    }

    #[test]
    fn unknown_and_short_requests_make_no_sense() {
        for kind in [4, 0x100, u16::MAX] {
            check(kind, START, 1, Err(Malformed));
        }
        let whole = bytes(UNPLUG_ALL, 0, 0);
        for length in 0..REQUEST_BYTES {
            assert_eq!(parse(&whole[..length], REGION), Err(Malformed), "{length} bytes");
        }
    }

    #[test]
    fn nothing_requested_leaves_no_usable_block() {
        let region = Region {
            requested_bytes: 0,
            ..REGION
        };
        assert_eq!(parse(&bytes(STATE, START, 1), region), Err(Malformed));
        assert_eq!(parse(&bytes(UNPLUG_ALL, START, 1), region), Ok(Request::UnplugAll));
    }

    #[test]
    fn responses_are_as_specified() {
        for (response, kind, state) in [
            (Response::Acknowledged, 0, 0),
            (Response::TooMuch, 1, 0),
            (Response::Nonsense, 3, 0),
            (Response::Is(State::Plugged), 0, 0),
            (Response::Is(State::Unplugged), 0, 1),
            (Response::Is(State::Mixed), 0, 2),
        ] {
            assert_eq!(response.to_bytes(), [kind, 0, 0, 0, 0, 0, 0, 0, state, 0]);
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_lies_in_the_usable_part(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
            kind in 0u16..5,
            address in prop_oneof![any::<u64>(), (0u64..300).prop_map(|block| START + block * BLOCK_BYTES)],
            count in prop_oneof![any::<u16>(), 0u16..70],
        ) {
            for bytes in [&bytes[..], &self::bytes(kind, address, count)] {
                match parse(bytes, REGION) {
                    Ok(Request::Plug(blocks) | Request::Unplug(blocks) | Request::State(blocks)) => {
                        prop_assert!(blocks.start < blocks.end && blocks.end <= 64);
                    }
                    Ok(Request::UnplugAll) | Err(Malformed) => {}
                }
            }
        }
    }
}
