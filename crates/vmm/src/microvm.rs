//! A microVM up to its first instruction: booted from a kernel, or cloned from a template.

use std::sync::Arc;

use devices::serial::Serial;
use devices::slots::{SavedSlot, SlotIndex};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use vm_memory::GuestRegionMmap;
use vmm_sys_util::errno;

use crate::furnish::Drivers;
use crate::memory;
use crate::space::BASE_MEMORY_SLOT;
use crate::template::{Template, TemplateError};
use crate::x86_64::boot::{self, BootError};
use crate::x86_64::command_line::{self, CommandLineError};
use crate::x86_64::layout::{BASE, SERIAL_LINE};
use crate::x86_64::{self, Leaves, Time, VcpuError};

/// A virtual machine with base memory and its first vCPU, and no devices.
pub struct Microvm {
    /// KVM, which saves templates.
    pub kvm: Kvm,
    /// The virtual machine. While it is referred to, KVM delivers interrupts.
    pub vm: Arc<VmFd>,
    /// What vCPUs say of themselves.
    pub leaves: Leaves,
    /// The first vCPU.
    pub first: VcpuFd,
    /// Base memory.
    pub base: Arc<GuestRegionMmap>,
    /// When a clone's guest rested; its time goes on from there as soon as it runs.
    pub time: Option<Time>,
    /// The first serial port.
    pub serial: Option<Serial>,
    /// What the template's drivers have set up; of a guest that boots, nothing.
    saved: Option<Vec<(SlotIndex, SavedSlot)>>,
}

/// Why a microVM cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum MicrovmError {
    /// There is no KVM for us here.
    #[error("cannot open /dev/kvm ({advice})")]
    Kvm {
        /// What a person can do about it.
        advice: &'static str,
        /// The system's answer.
        source: errno::Error,
    },
    /// KVM makes no virtual machine.
    #[error("cannot create a virtual machine")]
    Create(#[source] errno::Error),
    /// There is no memory.
    #[error(transparent)]
    Memory(#[from] memory::MemoryError),
    /// The host cannot do it.
    #[error(transparent)]
    Host(#[from] x86_64::HostError),
    /// A vCPU cannot be had.
    #[error(transparent)]
    Vcpu(#[from] VcpuError),
    /// There is nothing to boot.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The kernel cannot be told what it must know.
    #[error(transparent)]
    CommandLine(#[from] CommandLineError),
    /// The serial port's interrupt cannot be wired.
    #[error("cannot wire the serial port")]
    WireSerial(#[source] errno::Error),
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The interrupt controllers cannot be restored.
    #[error("cannot restore the virtual machine")]
    Restore(#[from] x86_64::StateError),
}

impl Microvm {
    /// A guest that enters its kernel.
    ///
    /// # Errors
    /// Where the host cannot give it, or the kernel cannot be loaded.
    pub fn boot(kvm: Kvm, boot: Booted) -> Result<Self, MicrovmError> {
        let vm = Arc::new(kvm.create_vm().map_err(MicrovmError::Create)?);
        let base = memory::anonymous(BASE)?;
        memory::register(&vm, BASE_MEMORY_SLOT, &base)?;
        let leaves = Leaves::supported(&kvm)?;
        x86_64::prepare(&vm, &leaves)?;
        let command_line = command_line::build(boot.serial.is_some(), &boot.command_line)?;
        let loaded = boot::Boot {
            kernel: boot.kernel,
            initramfs: boot.initramfs,
            command_line: &command_line,
        };
        let entry = boot::load(&memory::guest(vec![base.clone()])?, loaded)?;
        let first = x86_64::make_vcpu(&vm, &leaves, 0)?;
        x86_64::enter_at(&first, entry)?;
        if let Some(serial) = &boot.serial {
            vm.register_irqfd(serial.interrupt_event(), SERIAL_LINE)
                .map_err(MicrovmError::WireSerial)?;
        }
        Ok(Self {
            kvm,
            vm,
            leaves,
            first,
            base,
            time: None,
            serial: boot.serial,
            saved: None,
        })
    }

    /// A guest that goes on where the one in `template` has rung its doorbell.
    ///
    /// # Errors
    /// Where the host cannot give it, or the template is unfit.
    // The order is KVM's: interrupt controllers before vCPUs, their state after (Linux, virt/kvm/api.rst).
    pub fn clone_of(kvm: Kvm, template: &Template) -> Result<Self, MicrovmError> {
        let state = template.state()?;
        let vm = Arc::new(kvm.create_vm().map_err(MicrovmError::Create)?);
        let base = memory::copy_of(&template.memory, BASE)?;
        memory::register(&vm, BASE_MEMORY_SLOT, &base)?;
        let leaves = Leaves::of_template(state.vcpu.leaves.clone());
        x86_64::prepare(&vm, &leaves)?;
        let first = x86_64::restore_vcpu(&vm, &state.vcpu)?;
        state.chips.give(&vm)?;
        Ok(Self {
            kvm,
            vm,
            leaves,
            first,
            base,
            time: Some(Time::of(&state.vcpu, &state.chips)),
            serial: None,
            saved: Some(state.slots),
        })
    }

    /// Whose drivers the standing devices meet.
    pub fn drivers(&self) -> Drivers<'_> {
        match &self.saved {
            Some(saved) => Drivers::Bound(saved),
            None => Drivers::Unbound,
        }
    }
}

/// What a guest boots from.
pub struct Booted {
    /// The guest kernel.
    pub kernel: boot::Image,
    /// The initramfs.
    pub initramfs: boot::Image,
    /// What is appended to the kernel's command line.
    pub command_line: String,
    /// The first serial port.
    pub serial: Option<Serial>,
}

/// Opens KVM.
///
/// # Errors
/// Where there is none for us here.
pub fn open_kvm() -> Result<Kvm, MicrovmError> {
    Kvm::new().map_err(|source| MicrovmError::Kvm {
        advice: advice(source),
        source,
    })
}

fn advice(error: errno::Error) -> &'static str {
    match error.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => {
            "this host has no hardware virtualization, or the module kvm_amd or kvm_intel is not loaded: `mote doctor` tells more"
        }
        libc::EACCES | libc::EPERM => "this user may not use it: add the user to the group kvm",
        _ => "`mote doctor` tells more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_kvm_says_what_to_do() {
        let source = errno::Error::new(libc::ENOENT);
        let error = anyhow::Error::new(MicrovmError::Kvm {
            advice: advice(source),
            source,
        });
        let sentence = format!("{error:#}");
        assert!(
            sentence.starts_with("cannot open /dev/kvm (this host has no hardware virtualization"),
            "{sentence}"
        );
        assert!(
            sentence.ends_with("No such file or directory (os error 2)"),
            "{sentence}"
        );
    }

    #[test]
    fn a_forbidden_kvm_names_the_group() {
        assert!(advice(errno::Error::new(libc::EACCES)).contains("group kvm"));
    }
}
