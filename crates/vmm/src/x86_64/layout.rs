//! Where everything is: guest-physical addresses, interrupt lines and ports, in one place.
//!
//! ```text
//! 0x0000_6000             start info, module list, memory map, command line (read by the kernel while it boots)
//! 0x0009_fc00             MP table, outside the memory that the guest is told of
//! 0x0010_0000             kernel; the initramfs at the top of low memory
//! 0xc000_0000             gap: slot windows, IOAPIC, LAPIC
//! 0x1_0000_0000           memory beyond 3 GiB
//! ```

use devices::slots::{SlotIndex, WINDOW_BYTES};

/// `hvm_start_info` (Xen, `public/arch-x86/hvm/start_info.h`), to which the kernel's entry gets a pointer.
pub const START_INFO: u64 = 0x6000;

/// The list of modules, of which the initramfs is the only one.
pub const MODULE_LIST: u64 = 0x6100;

/// The memory map.
pub const MEMORY_MAP: u64 = 0x7000;

/// The kernel command line.
pub const COMMAND_LINE: u64 = 0x2_0000;

/// The most bytes of a command line, its final zero included (Linux: `COMMAND_LINE_SIZE` of x86).
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;

/// The MP floating pointer, at the beginning of the last kilobyte of base memory (MultiProcessor specification 1.4, 4), where
/// the guest is told to have none.
pub const MP_FLOATING_POINTER: u64 = 0x9_fc00;

/// Where memory goes on behind the hole for old adapters.
pub const HIGH_MEMORY: u64 = 0x10_0000;

/// The beginning of the gap in memory that holds all devices.
pub const GAP: u64 = 0xc000_0000;

/// The end of the gap.
pub const GAP_END: u64 = 0x1_0000_0000;

/// The window of slot 0; the others follow.
pub const SLOT_WINDOWS: u64 = 0xd000_0000;

/// The interrupt line of slot 0; the others follow. Lines below belong to a PC's fixed devices.
pub const SLOT_LINES: u32 = 5;

/// The interrupt controller (Intel 82093AA).
pub const IOAPIC: u32 = 0xfec0_0000;

/// The local interrupt controllers.
pub const LAPIC: u32 = 0xfee0_0000;

/// Lines of the IOAPIC.
pub const IOAPIC_LINES: u8 = 24;

/// Three pages that KVM needs on Intel hosts (`KVM_SET_TSS_ADDR`).
pub const INTEL_TSS: usize = 0xfffb_d000;

/// The first serial port, a 16550.
pub const SERIAL_PORT: u16 = 0x3f8;

/// The number of the serial port's registers.
pub const SERIAL_PORTS: u16 = 8;

/// The interrupt line of the first serial port.
pub const SERIAL_LINE: u32 = 4;

/// The most vCPUs: the MP table and its floating pointer fit into a kilobyte.
pub const VCPUS_MAX: u8 = 32;

/// Where the window of `slot` begins.
#[must_use]
pub fn slot_window(slot: SlotIndex) -> u64 {
    // There are sixteen slots: no overflow.
    SLOT_WINDOWS + slot.get() as u64 * WINDOW_BYTES
}

/// The interrupt line of `slot`.
#[must_use]
pub fn slot_line(slot: SlotIndex) -> u32 {
    SlotIndex::all()
        .zip(SLOT_LINES..)
        .find(|(other, _)| *other == slot)
        .map_or(0, |(_, line)| line)
}

/// The slot in whose window `address` is, and the offset there.
#[must_use]
pub fn slot_at(address: u64) -> Option<(SlotIndex, u64)> {
    let offset = address.checked_sub(SLOT_WINDOWS)?;
    let slot = SlotIndex::new(usize::try_from(offset / WINDOW_BYTES).ok()?)?;
    Some((slot, offset % WINDOW_BYTES))
}

/// A stretch of guest-physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The length in bytes.
    pub bytes: u64,
}

impl Range {
    /// The address behind the last.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start + self.bytes
    }
}

/// The memory of a guest with `bytes` of it: below the gap, and the rest above.
#[must_use]
pub fn memory(bytes: u64) -> Vec<Range> {
    let low = Range {
        start: 0,
        bytes: bytes.min(GAP),
    };
    let high = Range {
        start: GAP_END,
        bytes: bytes - low.bytes,
    };
    [low, high].into_iter().filter(|range| range.bytes > 0).collect()
}

/// What of `memory` the guest is told to be usable.
#[must_use]
pub fn usable(memory: &[Range]) -> Vec<Range> {
    let base = Range {
        start: 0,
        bytes: MP_FLOATING_POINTER,
    };
    let above = memory.iter().filter_map(|range| {
        let start = range.start.max(HIGH_MEMORY);
        let bytes = range.end().checked_sub(start).filter(|bytes| *bytes > 0)?;
        Some(Range { start, bytes })
    });
    std::iter::once(base).chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_memory_is_one_range() {
        assert_eq!(
            memory(64 * MIB),
            [Range {
                start: 0,
                bytes: 64 * MIB
            }]
        );
    }

    #[test]
    fn memory_beyond_the_gap_goes_on_above_it() {
        let ranges = memory(8192 * MIB);
        assert_eq!(
            ranges,
            [
                Range { start: 0, bytes: GAP },
                Range {
                    start: GAP_END,
                    bytes: 5120 * MIB
                }
            ]
        );
    }

    #[test]
    fn windows_and_lines_are_found_again() {
        for (index, slot) in SlotIndex::all().enumerate() {
            assert_eq!(slot_at(slot_window(slot) + 0x50), Some((slot, 0x50)));
            assert_eq!(slot_line(slot), 5 + u32::try_from(index).unwrap());
        }
        assert_eq!(slot_at(SLOT_WINDOWS - 1), None);
        assert_eq!(slot_at(SLOT_WINDOWS + 16 * WINDOW_BYTES), None);
    }

    proptest! {
        #[test]
        fn memory_keeps_its_size_and_out_of_the_gap(mib in 1..1_u64 << 20) {
            let ranges = memory(mib * MIB);
            prop_assert_eq!(ranges.iter().map(|range| range.bytes).sum::<u64>(), mib * MIB);
            for range in &ranges {
                prop_assert!(range.end() <= GAP || range.start >= GAP_END);
            }
            for range in usable(&ranges) {
                prop_assert!(ranges.iter().any(|whole| whole.start <= range.start && range.end() <= whole.end()));
                prop_assert!(range.end() <= MP_FLOATING_POINTER || range.start >= HIGH_MEMORY);
            }
        }
    }
}
