//! Puts a microVM together, and runs it to its end.

use std::sync::Arc;

use devices::device::VirtioDevice;
use devices::serial::Serial;
use devices::slots::{PlugError, QUEUE_NOTIFY_OFFSET, SlotIndex, Slots};
use kvm_ioctls::{IoEventAddress, Kvm, VcpuFd, VmFd};
use protocol::vmm::Event;
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::errno;

use crate::bus::Bus;
use crate::clock::monotonic_ns;
use crate::event_loop::EventLoop;
use crate::kick;
use crate::memory;
use crate::reports::Report;
use crate::vcpus::Vcpus;
use crate::x86_64::boot::Entry;
use crate::x86_64::layout::{Range, SERIAL_LINE, slot_line, slot_window};
use crate::x86_64::{self, Host, VcpuError};

/// A virtual machine with memory and slots, that has not run.
pub struct Microvm {
    vm: VmFd,
    host: Host,
    memory: GuestMemoryMmap,
    slots: Slots,
    serial: Option<Serial>,
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
    /// A guest on this host cannot have so many vCPUs.
    #[error("this host's KVM gives a guest at most {vcpus_max} vCPUs, not {vcpus}")]
    TooManyVcpus {
        /// What is asked for.
        vcpus: u8,
        /// What is possible.
        vcpus_max: usize,
    },
    /// There is no memory.
    #[error(transparent)]
    Memory(#[from] memory::MemoryError),
    /// The host cannot do it.
    #[error(transparent)]
    Host(#[from] x86_64::HostError),
    /// A device does not get a slot.
    #[error("cannot plug a device")]
    Plug(#[source] PlugError),
    /// A device's events cannot be wired.
    #[error("cannot wire the {what} of slot {slot}")]
    Wire {
        /// What.
        what: &'static str,
        /// The slot.
        slot: SlotIndex,
        /// KVM's answer.
        source: errno::Error,
    },
    /// The serial port's interrupt cannot be wired.
    #[error("cannot wire the serial port")]
    WireSerial(#[source] errno::Error),
    /// A vCPU cannot be had.
    #[error(transparent)]
    Vcpu(#[from] VcpuError),
    /// vCPUs could not be stopped again.
    #[error("cannot handle the signal that stops vCPUs")]
    Signal(#[source] errno::Error),
}

impl Microvm {
    /// A virtual machine with memory at `ranges`, interrupt controllers and sixteen empty slots, whose workers go to `event_loop`.
    ///
    /// # Errors
    /// Where the host cannot give it.
    pub fn new(ranges: &[Range], vcpus: u8, event_loop: &EventLoop) -> Result<Self, MicrovmError> {
        let kvm = Kvm::new().map_err(|source| MicrovmError::Kvm {
            advice: advice(source),
            source,
        })?;
        let vcpus_max = kvm.get_max_vcpus();
        if usize::from(vcpus) > vcpus_max {
            return Err(MicrovmError::TooManyVcpus { vcpus, vcpus_max });
        }
        let vm = kvm.create_vm().map_err(MicrovmError::Create)?;
        let memory = memory::map(ranges)?;
        memory::register(&vm, &memory)?;
        let host = x86_64::prepare(&kvm, &vm)?;
        let slots = Slots::new(memory.clone(), Box::new(event_loop.workers()));
        Ok(Self {
            vm,
            host,
            memory,
            slots,
            serial: None,
        })
    }

    /// The guest's memory.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// Gives `device` an empty slot: its window, its interrupt and its queue events.
    ///
    /// # Errors
    /// Where there is no slot left, or KVM does not wire it.
    pub fn plug(&mut self, device: Box<dyn VirtioDevice>) -> Result<SlotIndex, MicrovmError> {
        let slot = self.slots.plug(device).map_err(MicrovmError::Plug)?;
        let failed = |what| move |source| MicrovmError::Wire { what, slot, source };
        if let Some(line) = self.slots.interrupt_event(slot) {
            self.vm
                .register_irqfd(line, slot_line(slot))
                .map_err(failed("interrupt"))?;
        }
        let notify = IoEventAddress::Mmio(slot_window(slot) + QUEUE_NOTIFY_OFFSET);
        for (queue, kick) in (0_u32..).zip(self.slots.kick_events(slot)) {
            self.vm
                .register_ioevent(kick, &notify, queue)
                .map_err(failed("queues"))?;
        }
        Ok(slot)
    }

    /// Gives the guest `serial` as its first serial port.
    ///
    /// # Errors
    /// Where KVM does not wire it.
    pub fn attach_serial(&mut self, serial: Serial) -> Result<(), MicrovmError> {
        self.vm
            .register_irqfd(serial.interrupt_event(), SERIAL_LINE)
            .map_err(MicrovmError::WireSerial)?;
        self.serial = Some(serial);
        Ok(())
    }

    /// Runs `vcpus` vCPUs, the first of them from `entry`. What becomes of them is reported to `event_loop`.
    ///
    /// # Errors
    /// Where they cannot be had; none of them has run then.
    pub fn run(self, vcpus: u8, entry: Entry, event_loop: &EventLoop) -> Result<Vcpus, MicrovmError> {
        let made: Vec<VcpuFd> = (0..vcpus)
            .map(|vcpu| x86_64::make_vcpu(&self.vm, &self.host, vcpu, vcpus, entry))
            .collect::<Result<_, _>>()?;
        kick::install().map_err(MicrovmError::Signal)?;
        let reporter = event_loop.reporter();
        let bus = Arc::new(Bus::new(self.slots, self.serial, reporter.clone()));
        reporter.report(Report::Event(Event::VcpuRunnable {
            monotonic_ns: monotonic_ns(),
        }));
        Ok(Vcpus::start(self.vm, made, &bus, &reporter))
    }
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
