//! The buffers of one chain, checked once: inside guest memory, readable before writable, no loop.

use thiserror::Error;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Address, GuestMemory, GuestMemoryMmap, Permissions, VolatileSlice};

use crate::ring::Chain;

/// The most descriptors of one chain that are looked at: bounds the work one chain can make.
pub const DESCRIPTORS_MAX: usize = 1024;

/// How many buffers a chain usually has at most: a frame of 64 KiB in pages, and a header.
const SLICES_USUAL: usize = 20;

/// The buffers of one chain.
#[derive(Debug, Default)]
pub struct Buffers<'m> {
    /// What the driver says.
    pub readable: Span<'m>,
    /// Where the device answers.
    pub writable: Span<'m>,
}

/// Why a chain was refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ChainError {
    /// The chain loops, leaves the table, holds 4 GiB or more, or is nested.
    #[error("the chain of descriptors does not end")]
    Endless,
    /// More than [`DESCRIPTORS_MAX`] descriptors.
    #[error("the chain has more than {DESCRIPTORS_MAX} descriptors")]
    TooLong,
    /// A buffer that is not guest memory.
    #[error("a buffer lies outside guest memory")]
    OutsideMemory,
    /// A readable descriptor behind a writable one (virtio 1.2, 2.7.4.2).
    #[error("a readable buffer comes after a writable one")]
    Order,
}

impl<'m> Buffers<'m> {
    /// Walks the chain.
    ///
    /// # Errors
    ///
    /// When the driver broke a rule; the chain can still be completed, with nothing written.
    pub fn parse(memory: &'m GuestMemoryMmap, chain: Chain<'m>) -> Result<Self, ChainError> {
        let mut buffers = Self::default();
        walk(chain, |descriptor| buffers.add(memory, descriptor))?;
        Ok(buffers)
    }

    fn add(&mut self, memory: &'m GuestMemoryMmap, descriptor: Descriptor) -> Result<(), ChainError> {
        let span = if descriptor.is_write_only() {
            &mut self.writable
        } else {
            &mut self.readable
        };
        if span.slices.capacity() == 0 {
            span.slices.reserve(SLICES_USUAL);
        }
        add(memory, descriptor, &mut span.slices)
    }
}

/// Adds the writable buffers of a chain to `slices`; how many bytes they have. What was added before an error stays there.
///
/// # Errors
///
/// When the driver broke a rule; the chain can still be completed, with nothing written.
pub fn add_writable<'m>(
    memory: &'m GuestMemoryMmap,
    chain: Chain<'m>,
    slices: &mut Vec<VolatileSlice<'m>>,
) -> Result<usize, ChainError> {
    let mut bytes = 0;
    walk(chain, |descriptor| {
        if !descriptor.is_write_only() {
            return add(memory, descriptor, &mut Vec::new());
        }
        // Chains of 4 GiB are refused, so this cannot overflow.
        bytes += usize::try_from(descriptor.len()).map_err(|_| ChainError::OutsideMemory)?;
        add(memory, descriptor, slices)
    })?;
    Ok(bytes)
}

fn add<'m>(
    memory: &'m GuestMemoryMmap,
    descriptor: Descriptor,
    slices: &mut Vec<VolatileSlice<'m>>,
) -> Result<(), ChainError> {
    let access = if descriptor.is_write_only() {
        Permissions::Write
    } else {
        Permissions::Read
    };
    let bytes = usize::try_from(descriptor.len()).map_err(|_| ChainError::OutsideMemory)?;
    let found = memory
        .get_slices(descriptor.addr(), bytes, access)
        .map_err(|_| ChainError::OutsideMemory)?;
    for slice in found {
        slices.push(slice.map_err(|_| ChainError::OutsideMemory)?);
    }
    Ok(())
}

/// Where the writable buffers of a chain begin, as guest-physical addresses, and how many bytes each has: for a device that is
/// given the memory itself, not what it holds.
///
/// # Errors
///
/// When the driver broke a rule; the chain can still be completed, with nothing written.
pub fn writable_places(memory: &GuestMemoryMmap, chain: Chain<'_>) -> Result<Vec<(u64, u32)>, ChainError> {
    let mut places = Vec::new();
    walk(chain, |descriptor| {
        let bytes = usize::try_from(descriptor.len()).map_err(|_| ChainError::OutsideMemory)?;
        if !memory.check_range(descriptor.addr(), bytes, Permissions::No) {
            return Err(ChainError::OutsideMemory);
        }
        if descriptor.is_write_only() {
            places.push((descriptor.addr().raw_value(), descriptor.len()));
        }
        Ok(())
    })?;
    Ok(places)
}

/// Shows each descriptor of a chain, once, to `each`, which can refuse it.
fn walk(chain: Chain<'_>, mut each: impl FnMut(Descriptor) -> Result<(), ChainError>) -> Result<(), ChainError> {
    let mut last: Option<Descriptor> = None;
    for (count, descriptor) in chain.enumerate() {
        if count == DESCRIPTORS_MAX {
            return Err(ChainError::TooLong);
        }
        if !descriptor.is_write_only() && last.is_some_and(|last| last.is_write_only()) {
            return Err(ChainError::Order);
        }
        each(descriptor)?;
        last = Some(descriptor);
    }
    // The iterator ends without a word where the chain cannot be followed.
    match last {
        Some(last) if !last.has_next() => Ok(()),
        _ => Err(ChainError::Endless),
    }
}

/// Stretches of guest memory, in order, as if they were one.
///
/// The guest may write to them at any time: what was read once is not what a second read finds.
#[derive(Clone, Debug, Default)]
pub struct Span<'m> {
    slices: Vec<VolatileSlice<'m>>,
}

impl<'m> Span<'m> {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        // Chains of 4 GiB are refused, so this cannot overflow.
        self.slices.iter().map(VolatileSlice::len).sum()
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stretches.
    #[must_use]
    pub fn slices(&self) -> &[VolatileSlice<'m>] {
        &self.slices
    }

    /// The first `at` bytes, and the rest; all and nothing, if there are not so many.
    #[must_use]
    pub fn split_at(&self, at: usize) -> (Self, Self) {
        let (mut front, mut back) = (Self::default(), Self::default());
        let mut left = at;
        for &slice in &self.slices {
            let taken = left.min(slice.len());
            left -= taken;
            // `taken` is not behind the slice's end, so both parts exist.
            if let Ok((head, tail)) = slice.split_at(taken) {
                front.slices.extend((!head.is_empty()).then_some(head));
                back.slices.extend((!tail.is_empty()).then_some(tail));
            }
        }
        (front, back)
    }

    /// Copies the front to `bytes` and takes it away; returns how many bytes there were to copy.
    pub fn take_front(&mut self, bytes: &mut [u8]) -> usize {
        let copied = self.copy_to(bytes);
        let (mut left, mut whole) = (copied, 0);
        for slice in &mut self.slices {
            match slice.offset(left) {
                Ok(rest) if !rest.is_empty() => {
                    *slice = rest;
                    break;
                }
                _ => {
                    left -= slice.len();
                    whole += 1;
                }
            }
        }
        self.slices.drain(..whole);
        copied
    }

    /// Copies to `bytes` from the front; returns how many bytes there were to copy.
    pub fn copy_to(&self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        for slice in &self.slices {
            done += slice.copy_to(&mut bytes[done..]);
        }
        done
    }

    /// Copies `bytes` to the front; returns how many of them fitted.
    pub fn copy_from(&self, bytes: &[u8]) -> usize {
        let mut done = 0;
        for slice in &self.slices {
            let taken = slice.len().min(bytes.len() - done);
            slice.copy_from(&bytes[done..done + taken]);
            done += taken;
        }
        done
    }

    /// Fills all of it with zeros.
    pub fn clear(&self) {
        const ZEROS: [u8; 4096] = [0; 4096];
        for slice in &self.slices {
            let mut rest = *slice;
            while !rest.is_empty() {
                let taken = rest.len().min(ZEROS.len());
                rest.copy_from(&ZEROS[..taken]);
                let Ok(next) = rest.offset(taken) else { break };
                rest = next;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use vm_memory::{Bytes, GuestAddress};

    use super::*;

    /// Two regions that touch each other, so that a buffer may lie in both.
    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x1000), (GuestAddress(0x1000), 0x1000)]).unwrap()
    }

    fn span<'m>(memory: &'m GuestMemoryMmap, pieces: &[(u64, u32)]) -> Span<'m> {
        let mut buffers = Buffers::default();
        for &(address, bytes) in pieces {
            buffers.add(memory, Descriptor::new(address, bytes, 0, 0)).unwrap();
        }
        buffers.readable
    }

    #[test]
    fn a_buffer_may_reach_into_the_next_region() {
        let memory = memory();
        let span = span(&memory, &[(0xffe, 4)]);
        assert_eq!(span.copy_from(b"abcd"), 4);
        let mut bytes = [0; 4];
        memory.read_slice(&mut bytes, GuestAddress(0xffe)).unwrap();
        assert_eq!(&bytes, b"abcd");
    }

    #[test]
    fn a_buffer_must_not_reach_behind_the_last_region() {
        let memory = memory();
        for (address, bytes) in [(0x1fff, 2), (0x2000, 1), (u64::MAX, 2), (0, u32::MAX)] {
            let refused = Buffers::default().add(&memory, Descriptor::new(address, bytes, 0, 0));
            assert_eq!(refused, Err(ChainError::OutsideMemory));
        }
    }

    proptest! {
        #[test]
        fn pieces_are_as_good_as_one(
            pieces in prop::collection::vec((0u64..0x1f00, 0u32..0x100), 0..8),
            at in 0usize..0x900,
            limit in 0usize..0x900,
        ) {
            let memory = memory();
            let content: Vec<u8> = (0..0x2000usize).map(|at| u8::try_from(at % 251).unwrap()).collect();
            memory.write_slice(&content, GuestAddress(0)).unwrap();
            let expected: Vec<u8> = pieces
                .iter()
                .flat_map(|&(address, bytes)| content.iter().skip(usize::try_from(address).unwrap()).take(bytes as usize))
                .copied()
                .collect();

            let span = span(&memory, &pieces);
            prop_assert_eq!(span.len(), expected.len());
            let (front, back) = span.split_at(at);
            prop_assert_eq!(front.len(), at.min(expected.len()));
            let mut bytes = vec![0; expected.len()];
            let taken = front.copy_to(&mut bytes);
            prop_assert_eq!(back.copy_to(&mut bytes[taken..]), back.len());
            prop_assert_eq!(&bytes, &expected);

            let mut rest = span.clone();
            let mut taken = vec![0; at];
            let count = rest.take_front(&mut taken);
            prop_assert_eq!(&taken[..count], &expected[..at.min(expected.len())]);
            prop_assert_eq!(rest.copy_to(&mut bytes), expected.len() - count);
            prop_assert_eq!(&bytes[..expected.len() - count], &expected[count..]);

            let mut some = vec![0; limit];
            let count = span.copy_to(&mut some);
            prop_assert_eq!(&some[..count], &expected[..limit.min(expected.len())]);
            span.clear();
            span.copy_to(&mut bytes);
            prop_assert!(bytes.iter().all(|&byte| byte == 0));
        }
    }
}
