//! A vCPU's registers at the kernel's PVH entry (Xen, `docs/misc/pvh.pandoc`), and its local interrupt controller.

use kvm_bindings::{kvm_lapic_state, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs};

/// Protected mode, and the bit that is always one.
const CR0: u64 = 0x11;
/// The bit that is always one; interrupts are off.
const RFLAGS: u64 = 2;

const SEGMENT_CODE: u8 = 0xb;
const SEGMENT_DATA: u8 = 0x3;
const SEGMENT_BUSY_TSS: u8 = 0xb;
const TSS_LIMIT: u32 = 0x67;

const MSR_MISC_ENABLE: u32 = 0x1a0;
/// Fast string instructions; no branch trace, no event-based sampling. Intel's kernels look here for the first.
const MISC_ENABLE: u64 = 1 | 1 << 11 | 1 << 12;
const MSR_MTRR_DEFAULT_TYPE: u32 = 0x2ff;
/// Enabled, everything write-back.
const MTRR_DEFAULT_TYPE: u64 = 1 << 11 | 6;

const LEAF_HYPERVISOR: u32 = 0x4000_0000;
const SIGNATURE_EMULATOR: &[u8] = b"TCGTCGTCGTCG";

const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const DELIVER_EXTERNAL: [i8; 4] = [0, 7, 0, 0];
const DELIVER_NMI: [i8; 4] = [0, 4, 0, 0];

/// Whether this host's processor is QEMU's own emulation of AMD's virtualization (its leaf of `CPUID` for hypervisors says so). There a task state
/// segment that is given back as busy, as processors want it, forbids the guest's user programs all ports.
#[must_use]
pub fn is_emulated() -> bool {
    let leaf = std::arch::x86_64::__cpuid(LEAF_HYPERVISOR);
    [leaf.ebx, leaf.ecx, leaf.edx].map(u32::to_le_bytes).as_flattened() == SIGNATURE_EMULATOR
}

/// General registers: the entry point, and in `rbx` the address of the start info.
#[must_use]
pub fn general(entry: u64, start_info: u64) -> kvm_regs {
    kvm_regs {
        rip: entry,
        rbx: start_info,
        rflags: RFLAGS,
        ..Default::default()
    }
}

/// Turns the registers after reset into flat 32-bit protected mode without paging.
pub fn flatten(sregs: &mut kvm_sregs) {
    let flat = kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector: 0x10,
        type_: SEGMENT_DATA,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..Default::default()
    };
    sregs.cs = kvm_segment {
        selector: 0x8,
        type_: SEGMENT_CODE,
        ..flat
    };
    for segment in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *segment = flat;
    }
    sregs.tr = kvm_segment {
        selector: 0x18,
        limit: TSS_LIMIT,
        type_: SEGMENT_BUSY_TSS,
        present: 1,
        ..Default::default()
    };
    sregs.cr0 = CR0;
    sregs.cr4 = 0;
    sregs.efer = 0;
}

/// The model-specific registers that firmware would have set.
#[must_use]
pub fn model_specific() -> [kvm_msr_entry; 2] {
    [
        (MSR_MISC_ENABLE, MISC_ENABLE),
        (MSR_MTRR_DEFAULT_TYPE, MTRR_DEFAULT_TYPE),
    ]
    .map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    })
}

/// Wires the two local inputs as the MP table says: the old controller and the NMI.
pub fn wire_local_inputs(lapic: &mut kvm_lapic_state) {
    lapic.regs[LVT_LINT0..LVT_LINT0 + 4].copy_from_slice(&DELIVER_EXTERNAL);
    lapic.regs[LVT_LINT1..LVT_LINT1 + 4].copy_from_slice(&DELIVER_NMI);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_entered_in_flat_protected_mode() {
        let mut sregs = kvm_sregs {
            cr4: 0x20,
            efer: 0x500,
            ..Default::default()
        };
        flatten(&mut sregs);
        assert_eq!((sregs.cr0, sregs.cr4, sregs.efer), (0x11, 0, 0));
        for segment in [sregs.cs, sregs.ds, sregs.es, sregs.ss] {
            assert_eq!(
                (segment.base, segment.limit, segment.db, segment.l),
                (0, u32::MAX, 1, 0)
            );
        }
        assert_eq!((sregs.cs.type_, sregs.tr.type_), (0xb, 0xb));
    }

    #[test]
    fn the_start_info_is_passed_in_rbx() {
        let regs = general(0x100_0000, 0x6000);
        assert_eq!((regs.rip, regs.rbx, regs.rflags), (0x100_0000, 0x6000, 2));
    }

    #[test]
    fn local_inputs_deliver_external_interrupts_and_the_nmi() {
        let mut lapic = kvm_lapic_state::default();
        wire_local_inputs(&mut lapic);
        assert_eq!(lapic.regs[0x351], 7);
        assert_eq!(lapic.regs[0x361], 4);
    }
}
