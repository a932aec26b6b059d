//! What a script says, byte by byte. One that has ended says zeros.

use super::END;

/// The rest of a script.
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn below(&mut self, end: u8) -> u8 {
        self.u8() % end
    }

    pub(super) fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(super) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.u8())
    }

    /// An address: where something is, at an edge of the memory, in its hole, or anywhere.
    pub(super) fn address(&mut self) -> u64 {
        match self.below(8) {
            0 => u64::from_le_bytes(self.array()),
            1 => 0x10000 - u64::from(self.u8()),
            2 => END - u64::from(self.u8()),
            3 => 0x28000 - u64::from(self.u8()),
            4 => u64::MAX - u64::from(self.u8()),
            _ => u64::from(self.u16()) & !15,
        }
    }

    pub(super) fn length(&mut self) -> u32 {
        match self.below(8) {
            0 => u32::from_le_bytes(self.array()),
            1 => 0,
            2..=4 => u32::from(self.u8()),
            _ => u32::from(self.u16()),
        }
    }
}
