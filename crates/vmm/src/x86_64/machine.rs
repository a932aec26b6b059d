//! Sets up the parts of a virtual machine that an x86-64 PC has: interrupt controllers and processors.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use protocol::vmm::VCPUS_MAX;
use vmm_sys_util::{errno, fam};

use crate::x86_64::boot::Entry;
use crate::x86_64::cpuid::{self, Identity};
use crate::x86_64::layout::{INTEL_TSS, START_INFO};
use crate::x86_64::registers;
use crate::x86_64::state::{StateError, VcpuState};

/// What a guest's vCPUs say of themselves, but for what tells one from the other.
#[derive(Clone)]
pub struct Leaves {
    leaves: Vec<kvm_cpuid_entry2>,
    tsc_deadline: bool,
}

impl Leaves {
    /// All that this host's processors and KVM can do for a guest.
    ///
    /// # Errors
    /// Where KVM does not say.
    pub fn supported(kvm: &Kvm) -> Result<Self, HostError> {
        let supported = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(HostError::Supported)?;
        Ok(Self {
            leaves: supported.as_slice().to_vec(),
            tsc_deadline: kvm.check_extension(Cap::TscDeadlineTimer),
        })
    }

    /// Those of a template's vCPU.
    #[must_use]
    pub fn of_template(leaves: Vec<kvm_cpuid_entry2>) -> Self {
        Self {
            tsc_deadline: cpuid::has_tsc_deadline(&leaves),
            leaves,
        }
    }

    /// Those of vCPU number `vcpu`.
    #[must_use]
    pub fn of(&self, vcpu: u8) -> Vec<kvm_cpuid_entry2> {
        let identity = Identity {
            vcpu,
            vcpus: VCPUS_MAX,
            tsc_deadline: self.tsc_deadline,
        };
        cpuid::adjust(&self.leaves, identity)
    }
}

/// Why a virtual machine cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// KVM does not say what it supports.
    #[error("cannot ask KVM which CPU features it supports")]
    Supported(#[source] errno::Error),
    /// Intel's three pages could not be placed.
    #[error("cannot place KVM's task state segment")]
    TaskState(#[source] errno::Error),
    /// The interrupt controllers could not be made.
    #[error("cannot create the interrupt controllers")]
    InterruptControllers(#[source] errno::Error),
}

/// Why a vCPU cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum VcpuError {
    /// KVM did not do what was asked.
    #[error("cannot {attempted} of vCPU {vcpu}")]
    Kvm {
        /// What was attempted.
        attempted: &'static str,
        /// The vCPU's index.
        vcpu: u8,
        /// KVM's answer.
        source: errno::Error,
    },
    /// KVM refuses one of the model-specific registers.
    #[error("KVM refuses a model-specific register of vCPU {vcpu}")]
    RegisterRefused {
        /// The vCPU's index.
        vcpu: u8,
    },
    /// The template's state could not be given to it.
    #[error("cannot restore vCPU 0")]
    Restore(#[from] StateError),
    /// A list for KVM could not be made.
    #[error("cannot make a list for vCPU {vcpu}")]
    List {
        /// The vCPU's index.
        vcpu: u8,
        /// What failed.
        source: fam::Error,
    },
}

/// Gives `vm` its interrupt controllers, before it gets vCPUs.
///
/// # Errors
/// Where KVM refuses.
pub fn prepare(vm: &VmFd, leaves: &Leaves) -> Result<(), HostError> {
    if cpuid::is_intel(&leaves.leaves) {
        vm.set_tss_address(INTEL_TSS).map_err(HostError::TaskState)?;
    }
    vm.create_irq_chip().map_err(HostError::InterruptControllers)
}

/// Makes vCPU number `vcpu`, which waits to be started by the first.
///
/// # Errors
/// Where KVM refuses.
pub fn make_vcpu(vm: &VmFd, leaves: &Leaves, vcpu: u8) -> Result<VcpuFd, VcpuError> {
    let failed = failed(vcpu);
    let fd = allocate(vm, &leaves.of(vcpu), vcpu)?;
    set_model_specific(&fd, vcpu)?;
    let mut lapic = fd.get_lapic().map_err(failed("read the interrupt controller"))?;
    registers::wire_local_inputs(&mut lapic);
    // Without this call KVM does not deliver the start-up signal to the vCPU.
    fd.set_lapic(&lapic).map_err(failed("set the interrupt controller"))?;
    Ok(fd)
}

/// Lets the first vCPU enter the kernel at `entry`.
///
/// # Errors
/// Where KVM refuses.
pub fn enter_at(fd: &VcpuFd, entry: Entry) -> Result<(), VcpuError> {
    let failed = failed(0);
    let mut sregs = fd.get_sregs().map_err(failed("read the system registers"))?;
    registers::flatten(&mut sregs);
    fd.set_sregs(&sregs).map_err(failed("set the system registers"))?;
    fd.set_regs(&registers::general(entry.0, START_INFO))
        .map_err(failed("set the registers"))
}

/// Makes the first vCPU as it was in the template.
///
/// # Errors
/// Where KVM refuses.
pub fn restore_vcpu(vm: &VmFd, state: &VcpuState) -> Result<VcpuFd, VcpuError> {
    let fd = allocate(vm, &state.leaves, 0)?;
    state.give(&fd)?;
    Ok(fd)
}

fn allocate(vm: &VmFd, leaves: &[kvm_cpuid_entry2], vcpu: u8) -> Result<VcpuFd, VcpuError> {
    let failed = failed(vcpu);
    let fd = vm.create_vcpu(vcpu.into()).map_err(failed("allocate the state"))?;
    fd.set_cpuid2(&list(leaves, vcpu)?)
        .map_err(failed("set the features"))?;
    Ok(fd)
}

/// Makes the error of an attempt on vCPU number `vcpu`.
fn failed(vcpu: u8) -> impl Fn(&'static str) -> Box<dyn FnOnce(errno::Error) -> VcpuError> {
    move |attempted| {
        Box::new(move |source| VcpuError::Kvm {
            attempted,
            vcpu,
            source,
        })
    }
}

fn list(leaves: &[kvm_cpuid_entry2], vcpu: u8) -> Result<CpuId, VcpuError> {
    CpuId::from_entries(leaves).map_err(|source| VcpuError::List { vcpu, source })
}

fn set_model_specific(fd: &VcpuFd, vcpu: u8) -> Result<(), VcpuError> {
    let wanted = registers::model_specific();
    let entries = Msrs::from_entries(&wanted).map_err(|source| VcpuError::List { vcpu, source })?;
    let set = fd.set_msrs(&entries).map_err(|source| VcpuError::Kvm {
        attempted: "set the model-specific registers",
        vcpu,
        source,
    })?;
    if set == wanted.len() {
        Ok(())
    } else {
        Err(VcpuError::RegisterRefused { vcpu })
    }
}
