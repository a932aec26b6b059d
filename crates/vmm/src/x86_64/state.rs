//! What a vCPU and the interrupt controllers hold, taken from a guest that rests and given to a clone of it.

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_clock_data,
    kvm_cpuid_entry2, kvm_debugregs, kvm_irqchip, kvm_lapic_state, kvm_msr_entry, kvm_regs, kvm_sregs, kvm_vcpu_events,
    kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use vmm_sys_util::errno;
use zerocopy::FromZeros;

use crate::bytes::{Damaged, Reader, Writer};
use crate::x86_64::registers;

/// The interrupt controllers of a PC: two old ones and the IOAPIC.
const CHIPS: [u32; 3] = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC];

/// The most model-specific registers that a state holds.
const MSRS_MAX: usize = 256;

const TSC: u32 = 0x10;
const TSC_DEADLINE: u32 = 0x6e0;

/// KVM's own and Hyper-V's registers that say where KVM is to write asynchronously, or are aliases of others: a guest has no use for them
/// that is booted without asynchronous page faults.
const LEFT_OUT: [std::ops::RangeInclusive<u32>; 3] =
    [0x11..=0x12, 0x4000_0000..=0x4000_0fff, 0x4b56_4d02..=0x4b56_4d02];

/// The type of a task state segment in use, as processors have it.
const TASK_STATE_BUSY: u8 = 11;
/// The type of one that is not.
const TASK_STATE_AVAILABLE: u8 = 9;

/// KVM refused a part of the state.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct StateError {
    attempted: &'static str,
    source: errno::Error,
}

fn failed(attempted: &'static str) -> impl FnOnce(errno::Error) -> StateError {
    move |source| StateError { attempted, source }
}

/// Everything of one vCPU.
#[derive(Clone, Debug, Default)]
pub struct VcpuState {
    /// What it says of itself.
    pub leaves: Vec<kvm_cpuid_entry2>,
    regs: kvm_regs,
    sregs: kvm_sregs,
    xsave: Vec<u32>,
    xcrs: kvm_xcrs,
    debug: kvm_debugregs,
    lapic: kvm_lapic_state,
    /// In the order in which they are to be set.
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
}

/// The interrupt controllers and the clock that all vCPUs share.
#[derive(Clone, Debug)]
pub struct ChipState {
    chips: [kvm_irqchip; 3],
    clock: kvm_clock_data,
}

impl Default for ChipState {
    fn default() -> Self {
        Self {
            chips: [kvm_irqchip::new_zeroed(); 3],
            clock: kvm_clock_data::default(),
        }
    }
}

/// The time of a guest that rests.
#[derive(Clone, Debug)]
pub struct Time {
    /// The time stamp counter, then what is compared with it.
    msrs: Vec<kvm_msr_entry>,
    clock: kvm_clock_data,
}

impl Time {
    /// That of a guest whose only vCPU and whose chips are these.
    pub fn of(vcpu: &VcpuState, chips: &ChipState) -> Self {
        Self {
            msrs: vcpu.msrs.iter().filter(|msr| is_time(msr)).copied().collect(),
            clock: chips.clock,
        }
    }

    /// Lets it go on for the guest of `vm` and its `vcpu`.
    ///
    /// Once only, and not before the guest runs on: KVM takes a second value of the counter for an attempt to bring processors together, and a
    /// clone whose time went on while it was made would begin with the timers that have expired meanwhile.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn give(&self, vm: &VmFd, vcpu: &VcpuFd) -> Result<(), StateError> {
        set_msrs(vcpu, &self.msrs)?;
        vm.set_clock(&self.clock).map_err(failed("set the guest's clock"))
    }
}

const fn is_time(msr: &kvm_msr_entry) -> bool {
    matches!(msr.index, TSC | TSC_DEADLINE)
}

fn set_msrs(vcpu: &VcpuFd, msrs: &[kvm_msr_entry]) -> Result<(), StateError> {
    let attempted = "set the model-specific registers";
    let list = Msrs::from_entries(msrs).map_err(|_| failed(attempted)(errno::Error::new(libc::E2BIG)))?;
    let count = vcpu.set_msrs(&list).map_err(failed(attempted))?;
    if count != msrs.len() {
        return Err(failed(attempted)(errno::Error::new(libc::EINVAL)));
    }
    Ok(())
}

/// What a vCPU that has not run holds: of one that has, only what differs needs to be kept.
pub struct Reference {
    leaves: Vec<kvm_cpuid_entry2>,
    indexes: Vec<u32>,
    values: Vec<kvm_msr_entry>,
}

impl Reference {
    /// Looks at a vCPU with these leaves. To be done before the guest rests, whose time goes on meanwhile.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn new(kvm: &Kvm, leaves: Vec<kvm_cpuid_entry2>) -> Result<Self, StateError> {
        let indexes = kept_indexes(kvm)?;
        let values = new_values(kvm, &leaves, &indexes)?;
        Ok(Self {
            leaves,
            indexes,
            values,
        })
    }

    /// Takes the state of a guest whose only running vCPU is `vcpu`, which has left it this moment.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn take(&self, vm: &VmFd, vcpu: &VcpuFd) -> Result<(VcpuState, ChipState), StateError> {
        // Next to each other: between the two the guest's time would go on in one and not in the other. And first of all, with
        // the interrupt controller: a timer that expires now would expire in every clone at its beginning.
        let values = read_msrs(vcpu, &self.indexes)?;
        let mut clock = vm.get_clock().map_err(failed("read the guest's clock"))?;
        let lapic = vcpu
            .get_lapic()
            .map_err(failed("read the local interrupt controller"))?;
        // A clone goes on where the template stopped, however long ago that was.
        clock.flags = 0;
        let mut chips = [kvm_irqchip::new_zeroed(); 3];
        for (chip, id) in chips.iter_mut().zip(CHIPS) {
            chip.chip_id = id;
            vm.get_irqchip(chip).map_err(failed("read an interrupt controller"))?;
        }
        let mut sregs = vcpu.get_sregs().map_err(failed("read the system registers"))?;
        sregs.tr.type_ = if registers::is_emulated() {
            TASK_STATE_AVAILABLE
        } else {
            TASK_STATE_BUSY
        };
        let state = VcpuState {
            leaves: self.leaves.clone(),
            regs: vcpu.get_regs().map_err(failed("read the registers"))?,
            sregs,
            xsave: vcpu
                .get_xsave()
                .map_err(failed("read the extended state"))?
                .region
                .into(),
            xcrs: vcpu.get_xcrs().map_err(failed("read the extended control registers"))?,
            debug: vcpu.get_debug_regs().map_err(failed("read the debug registers"))?,
            lapic,
            msrs: ordered(values, &self.values),
            events: vcpu.get_vcpu_events().map_err(failed("read the pending events"))?,
        };
        Ok((state, ChipState { chips, clock }))
    }
}

/// The registers that KVM has on this host, less those that are left out.
fn kept_indexes(kvm: &Kvm) -> Result<Vec<u32>, StateError> {
    let all = kvm
        .get_msr_index_list()
        .map_err(failed("list the model-specific registers"))?;
    let mut kept: Vec<u32> = all
        .as_slice()
        .iter()
        .copied()
        .filter(|index| !LEFT_OUT.iter().any(|range| range.contains(index)))
        .collect();
    if !kept.contains(&TSC_DEADLINE) {
        kept.push(TSC_DEADLINE);
    }
    Ok(kept)
}

/// The values of registers that can be read.
fn read_msrs(vcpu: &VcpuFd, indexes: &[u32]) -> Result<Vec<kvm_msr_entry>, StateError> {
    let attempted = "read the model-specific registers";
    let mut values = Vec::new();
    let mut left: Vec<kvm_msr_entry> = indexes
        .iter()
        .map(|&index| kvm_msr_entry {
            index,
            ..Default::default()
        })
        .collect();
    while !left.is_empty() {
        let mut list = Msrs::from_entries(&left).map_err(|_| failed(attempted)(errno::Error::new(libc::E2BIG)))?;
        let count = vcpu.get_msrs(&mut list).map_err(failed(attempted))?;
        values.extend(&list.as_slice()[..count]);
        // KVM stops at one that it cannot read, which then is none that it could be told to set.
        left.drain(..(count + 1).min(left.len()));
    }
    Ok(values)
}

/// What the registers are in a vCPU that has not run.
fn new_values(kvm: &Kvm, leaves: &[kvm_cpuid_entry2], indexes: &[u32]) -> Result<Vec<kvm_msr_entry>, StateError> {
    let attempted = "make a vCPU to compare with";
    let vm = kvm.create_vm().map_err(failed(attempted))?;
    vm.create_irq_chip().map_err(failed(attempted))?;
    let vcpu = vm.create_vcpu(0).map_err(failed(attempted))?;
    let leaves =
        kvm_bindings::CpuId::from_entries(leaves).map_err(|_| failed(attempted)(errno::Error::new(libc::E2BIG)))?;
    vcpu.set_cpuid2(&leaves).map_err(failed(attempted))?;
    read_msrs(&vcpu, indexes)
}

/// The values that a new vCPU does not have; the time stamp counter first, and its deadline last, since it is compared with the former
/// and kept by the local interrupt controller.
fn ordered(values: Vec<kvm_msr_entry>, new: &[kvm_msr_entry]) -> Vec<kvm_msr_entry> {
    let is_new = |value: &kvm_msr_entry| new.iter().any(|new| new.index == value.index && new.data == value.data);
    let mut kept: Vec<_> = values
        .into_iter()
        .filter(|value| [TSC, TSC_DEADLINE].contains(&value.index) || !is_new(value))
        .collect();
    kept.sort_by_key(|value| match value.index {
        TSC => 0,
        TSC_DEADLINE => 2,
        _ => 1,
    });
    kept
}

impl VcpuState {
    /// Gives the state, without its [`Time`], to `vcpu`, which has not run and says of itself what the state's `leaves` say.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn give(&self, vcpu: &VcpuFd) -> Result<(), StateError> {
        vcpu.set_regs(&self.regs).map_err(failed("set the registers"))?;
        vcpu.set_sregs(&self.sregs)
            .map_err(failed("set the system registers"))?;
        let mut xsave = kvm_xsave::default();
        // Both are of one length where the state is whole; otherwise the guest is not, and nothing else.
        for (to, from) in xsave.region.iter_mut().zip(&self.xsave) {
            *to = *from;
        }
        // SAFETY: KVM reads more than the structure only for features that a process has to ask for, which this one has not.
        unsafe { vcpu.set_xsave(&xsave) }.map_err(failed("set the extended state"))?;
        vcpu.set_xcrs(&self.xcrs)
            .map_err(failed("set the extended control registers"))?;
        vcpu.set_debug_regs(&self.debug)
            .map_err(failed("set the debug registers"))?;
        vcpu.set_lapic(&self.lapic)
            .map_err(failed("set the local interrupt controller"))?;
        let timeless: Vec<_> = self.msrs.iter().filter(|msr| !is_time(msr)).copied().collect();
        set_msrs(vcpu, &timeless)?;
        vcpu.set_vcpu_events(&self.events)
            .map_err(failed("set the pending events"))
    }

    /// Appends the state.
    pub fn write(&self, writer: &mut Writer) {
        writer.put_all(&self.leaves);
        writer.put(&self.regs);
        writer.put(&self.sregs);
        writer.put_all(&self.xsave);
        writer.put(&self.xcrs);
        writer.put(&self.debug);
        writer.put(&self.lapic);
        writer.put_all(&self.msrs);
        writer.put(&self.events);
    }

    /// The next state.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            leaves: reader.take_all(KVM_MAX_CPUID_ENTRIES)?,
            regs: reader.take()?,
            sregs: reader.take()?,
            xsave: reader.take_all(kvm_xsave::default().region.len())?,
            xcrs: reader.take()?,
            debug: reader.take()?,
            lapic: reader.take()?,
            msrs: reader.take_all(MSRS_MAX)?,
            events: reader.take()?,
        })
    }
}

impl ChipState {
    /// Gives the state, without its [`Time`], to `vm`, after its vCPU.
    ///
    /// # Errors
    /// Where KVM refuses.
    pub fn give(&self, vm: &VmFd) -> Result<(), StateError> {
        for chip in &self.chips {
            vm.set_irqchip(chip).map_err(failed("set an interrupt controller"))?;
        }
        Ok(())
    }

    /// Appends the state.
    pub fn write(&self, writer: &mut Writer) {
        writer.put(&self.chips);
        writer.put(&self.clock);
    }

    /// The next state.
    ///
    /// # Errors
    /// [`Damaged`]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            chips: reader.take()?,
            clock: reader.take()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msr(index: u32, data: u64) -> kvm_msr_entry {
        kvm_msr_entry {
            index,
            data,
            ..Default::default()
        }
    }

    #[test]
    fn what_a_new_vcpu_has_is_left_out_and_time_frames_the_rest() {
        let values = vec![msr(TSC_DEADLINE, 0), msr(0x277, 6), msr(0xc000_0100, 5), msr(TSC, 0)];
        let new = [msr(TSC_DEADLINE, 0), msr(0x277, 6), msr(0xc000_0100, 0), msr(TSC, 0)];
        let kept: Vec<u32> = ordered(values, &new).iter().map(|value| value.index).collect();
        assert_eq!(kept, [TSC, 0xc000_0100, TSC_DEADLINE]);
    }
}
