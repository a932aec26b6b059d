//! The MP table, which tells the kernel of its processors and of the wiring of interrupts (MultiProcessor specification 1.4).

use crate::x86_64::layout::{IOAPIC, IOAPIC_LINES, LAPIC, MP_FLOATING_POINTER};

const SPECIFICATION: u8 = 4;
const FLOATING_POINTER_BYTES: u8 = 16;
const HEADER_BYTES: usize = 44;

const ENTRY_PROCESSOR: u8 = 0;
const ENTRY_BUS: u8 = 1;
const ENTRY_IOAPIC: u8 = 2;
const ENTRY_INTERRUPT: u8 = 3;
const ENTRY_LOCAL_INTERRUPT: u8 = 4;

const ISA_BUS: u8 = 0;
const APIC_VERSION: u8 = 0x14;
const IOAPIC_VERSION: u8 = 0x11;
const ENABLED: u8 = 1;
const BOOT_PROCESSOR: u8 = 2;
/// Family 6, which the kernel only prints.
const PROCESSOR_SIGNATURE: u32 = 0x600;
/// A local interrupt controller on the chip.
const PROCESSOR_FEATURES: u32 = 0x200;

/// The kind of an interrupt: a line, the NMI, or the old controller's output.
const VECTORED: u8 = 0;
const NMI: u8 = 1;
const EXTERNAL: u8 = 3;
const EVERY_PROCESSOR: u8 = 0xff;

/// The floating pointer and the table behind it, to be written at [`MP_FLOATING_POINTER`], for `vcpus` vCPUs.
///
/// All lines are wired straight: ISA interrupt n to pin n, edge-triggered, active high.
#[must_use]
pub fn bytes(vcpus: u8) -> Vec<u8> {
    let table = MP_FLOATING_POINTER + u64::from(FLOATING_POINTER_BYTES);
    // Base memory ends below 1 MiB: the low half holds the whole address.
    let [a, b, c, d, ..] = table.to_le_bytes();
    let mut pointer = [b'_', b'M', b'P', b'_', a, b, c, d, 1, SPECIFICATION, 0, 0, 0, 0, 0, 0];
    pointer[10] = checksum(&pointer);
    [pointer.as_slice(), &configuration(vcpus)].concat()
}

fn configuration(vcpus: u8) -> Vec<u8> {
    // Not 0 to vcpus-1, which are the processors' own.
    let ioapic = vcpus + 1;
    let entries = entries(vcpus, ioapic);
    let mut table = Vec::with_capacity(HEADER_BYTES + entries.iter().map(Vec::len).sum::<usize>());
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    table.extend(b"PCMP");
    table.extend([0, 0, SPECIFICATION, 0]);
    table.extend(b"MOTE    microvm     ");
    table.extend([0; 6]);
    table.extend(count.to_le_bytes());
    table.extend(LAPIC.to_le_bytes());
    table.extend([0; 4]);
    table.extend(entries.concat());
    let length = u16::try_from(table.len()).unwrap_or(u16::MAX);
    table[4..6].copy_from_slice(&length.to_le_bytes());
    table[7] = checksum(&table);
    table
}

fn entries(vcpus: u8, ioapic: u8) -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = (0..vcpus).map(processor).collect();
    entries.push([&[ENTRY_BUS, ISA_BUS], b"ISA   ".as_slice()].concat());
    entries.push(
        [
            &[ENTRY_IOAPIC, ioapic, IOAPIC_VERSION, ENABLED],
            IOAPIC.to_le_bytes().as_slice(),
        ]
        .concat(),
    );
    entries.extend((0..IOAPIC_LINES).map(|line| interrupt(ENTRY_INTERRUPT, VECTORED, line, [ioapic, line])));
    entries.push(interrupt(ENTRY_LOCAL_INTERRUPT, EXTERNAL, 0, [0, 0]));
    entries.push(interrupt(ENTRY_LOCAL_INTERRUPT, NMI, 0, [EVERY_PROCESSOR, 1]));
    entries
}

fn processor(index: u8) -> Vec<u8> {
    let flags = if index == 0 { ENABLED | BOOT_PROCESSOR } else { ENABLED };
    let mut entry = vec![ENTRY_PROCESSOR, index, APIC_VERSION, flags];
    entry.extend(PROCESSOR_SIGNATURE.to_le_bytes());
    entry.extend(PROCESSOR_FEATURES.to_le_bytes());
    entry.extend([0; 8]);
    entry
}

/// An interrupt of the ISA bus that goes to an input of a controller; polarity and trigger as the bus has them.
fn interrupt(entry: u8, kind: u8, source: u8, [controller, input]: [u8; 2]) -> Vec<u8> {
    vec![entry, kind, 0, 0, ISA_BUS, source, controller, input]
}

/// The byte that makes the sum of all bytes zero, where its own place is zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_add(*byte))
        .wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocol::vmm::VCPUS_MAX;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn the_pointer_leads_to_the_table() {
        let bytes = bytes(1);
        assert_eq!(&bytes[..4], b"_MP_");
        assert_eq!(u32::from_le_bytes(bytes[4..8].try_into().unwrap()), 0x9_fc10);
        assert_eq!(&bytes[16..20], b"PCMP");
    }

    #[test]
    fn line_five_goes_to_pin_five_of_the_ioapic() {
        let wanted = [3, 0, 0, 0, 0, 5, 3, 5];
        assert!(bytes(2).windows(8).any(|window| window == wanted));
    }

    #[test]
    fn the_largest_table_fits_into_base_memory() {
        let room = 1024;
        assert!(bytes(VCPUS_MAX).len() <= room);
    }

    proptest! {
        #[test]
        fn sums_length_and_count_are_right(vcpus in 1..=VCPUS_MAX) {
            let bytes = bytes(vcpus);
            let (pointer, table) = bytes.split_at(16);
            prop_assert_eq!(sum(pointer), 0);
            prop_assert_eq!(sum(table), 0);
            prop_assert_eq!(usize::from(u16::from_le_bytes([table[4], table[5]])), table.len());
            let count = u16::from_le_bytes([table[34], table[35]]);
            prop_assert_eq!(count, u16::from(vcpus) + 1 + 1 + 24 + 2);
            prop_assert_eq!(table.len(), 44 + usize::from(vcpus) * 20 + 28 * 8);
        }
    }
}
