//! Where everything is: guest-physical addresses, interrupt lines and ports, in one place.
//!
//! ```text
//! 0x0000_6000             start info, module list, memory map, command line (read by the kernel while it boots)
//! 0x0009_fc00             MP table, outside the memory that the guest is told of
//! 0x0010_0000             kernel; the initramfs at the top of base memory
//! 0x4000_0000             pmem devices that are bound late
//! 0xc000_0000             window of the standing pmem device
//! 0xd000_0000             slot windows; then IOAPIC and LAPIC
//! 0x1_0000_0000           what the standing memory device plugs, at most 96 GiB
//! 0x20_0000_0000          memory devices that are bound late, 16 GiB each
//! ```

use devices::slots::{SlotIndex, WINDOW_BYTES};
use protocol::vmm::{BASE_MEMORY_MIB, GROWTH_MIB_MAX, PMEM_WINDOW_BYTES};

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

/// Base memory.
pub const BASE: Range = Range {
    start: 0,
    bytes: (BASE_MEMORY_MIB as u64) << 20,
};

/// Where pmem devices go that are bound late.
pub const LATE_PMEM: Range = Range {
    start: 0x4000_0000,
    bytes: 0x8000_0000,
};

/// The window of the standing pmem device.
pub const PMEM_WINDOW: Range = Range {
    start: 0xc000_0000,
    bytes: PMEM_WINDOW_BYTES,
};

/// What the standing memory device can plug.
pub const GROWTH: Range = Range {
    start: 0x1_0000_0000,
    bytes: (GROWTH_MIB_MAX as u64) << 20,
};

/// Where a guest has memory in whole blocks only, in bytes (Linux: `MIN_MEMORY_BLOCK_SIZE` of x86).
pub const MEMORY_BLOCK_BYTES: u64 = 128 << 20;

/// The most memory that one memory device plugs that is bound late, in bytes.
pub const LATE_MEMORY_BYTES_MAX: u64 = 16 << 30;

/// Where the first memory device is that is bound late; the others follow, by slot.
pub const LATE_MEMORY: u64 = 0x20_0000_0000;

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

/// What the memory device in `slot` can plug, where that is bound late.
#[must_use]
pub fn late_memory(slot: SlotIndex) -> Range {
    Range {
        start: LATE_MEMORY + slot.get() as u64 * LATE_MEMORY_BYTES_MAX,
        bytes: LATE_MEMORY_BYTES_MAX,
    }
}

/// What of base memory the guest is told to be usable.
#[must_use]
pub fn usable() -> [Range; 2] {
    let below = Range {
        start: 0,
        bytes: MP_FLOATING_POINTER,
    };
    let above = Range {
        start: HIGH_MEMORY,
        bytes: BASE.bytes - HIGH_MEMORY,
    };
    [below, above]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_in_something_else() {
        let windows = Range {
            start: SLOT_WINDOWS,
            bytes: 16 * WINDOW_BYTES,
        };
        let late = SlotIndex::all().map(late_memory);
        let all: Vec<Range> = [BASE, LATE_PMEM, PMEM_WINDOW, windows, GROWTH]
            .into_iter()
            .chain(late)
            .collect();
        for pair in all.windows(2) {
            assert!(pair[0].end() <= pair[1].start, "{pair:?}");
        }
        assert!(GROWTH.start >= u64::from(LAPIC) + 0x1000);
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
}
