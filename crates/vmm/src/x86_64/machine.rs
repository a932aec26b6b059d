//! Sets up the parts of a virtual machine that an x86-64 PC has: interrupt controllers and processors.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use vmm_sys_util::{errno, fam};

use crate::x86_64::boot::Entry;
use crate::x86_64::cpuid::{self, Identity};
use crate::x86_64::layout::{INTEL_TSS, START_INFO};
use crate::x86_64::registers;

/// What this host's processors and KVM can do for a guest.
pub struct Host {
    cpuid: CpuId,
    tsc_deadline: bool,
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
pub fn prepare(kvm: &Kvm, vm: &VmFd) -> Result<Host, HostError> {
    let cpuid = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(HostError::Supported)?;
    if cpuid::is_intel(cpuid.as_slice()) {
        vm.set_tss_address(INTEL_TSS).map_err(HostError::TaskState)?;
    }
    vm.create_irq_chip().map_err(HostError::InterruptControllers)?;
    Ok(Host {
        cpuid,
        tsc_deadline: kvm.check_extension(Cap::TscDeadlineTimer),
    })
}

/// Makes vCPU number `vcpu` of `vcpus`. The first is about to enter the kernel at `entry`; the others wait to be started by it.
///
/// # Errors
/// Where KVM refuses.
pub fn make_vcpu(vm: &VmFd, host: &Host, vcpu: u8, vcpus: u8, entry: Entry) -> Result<VcpuFd, VcpuError> {
    let failed = |attempted| {
        move |source| VcpuError::Kvm {
            attempted,
            vcpu,
            source,
        }
    };
    let fd = vm.create_vcpu(vcpu.into()).map_err(failed("allocate the state"))?;
    let identity = Identity {
        vcpu,
        vcpus,
        tsc_deadline: host.tsc_deadline,
    };
    let leaves = list(&cpuid::adjust(host.cpuid.as_slice(), identity), vcpu)?;
    fd.set_cpuid2(&leaves).map_err(failed("set the features"))?;
    set_model_specific(&fd, vcpu)?;
    let mut lapic = fd.get_lapic().map_err(failed("read the interrupt controller"))?;
    registers::wire_local_inputs(&mut lapic);
    // Without this call KVM does not deliver the start-up signal to the vCPU.
    fd.set_lapic(&lapic).map_err(failed("set the interrupt controller"))?;
    if vcpu == 0 {
        let mut sregs = fd.get_sregs().map_err(failed("read the system registers"))?;
        registers::flatten(&mut sregs);
        fd.set_sregs(&sregs).map_err(failed("set the system registers"))?;
        fd.set_regs(&registers::general(entry.0, START_INFO))
            .map_err(failed("set the registers"))?;
    }
    Ok(fd)
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
