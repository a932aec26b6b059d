//! The loop of a vCPU's thread: run the guest, do what it left for, run it again.

use std::sync::atomic::{AtomicBool, Ordering};

use kvm_ioctls::{VcpuExit, VcpuFd};
use protocol::guest::DOORBELL_PORT;
use protocol::vmm::ExitCode;

use crate::bus::{Bus, Wish};
use crate::ending::Ending;
use crate::kick::RunningVcpu;

/// `KVM_SYSTEM_EVENT_SHUTDOWN`.
const SYSTEM_EVENT_SHUTDOWN: u32 = 1;

/// What a vCPU's guest can reach.
pub trait Surroundings {
    /// Its devices.
    fn bus(&self) -> &Bus;

    /// Lets the other vCPUs wait to be started.
    ///
    /// # Errors
    /// Where they cannot be had.
    fn start_others(&self) -> anyhow::Result<()>;

    /// Notes that the guest's first program has begun.
    fn note_start(&self);

    /// Saves the guest, which has left for this on `vcpu`; nothing where it is not to be saved.
    fn save(&self, vcpu: &mut RunningVcpu) -> Option<anyhow::Result<()>>;
}

/// Runs `vcpu` until the guest ends, which is returned, or `stopping` is set and the thread kicked.
pub fn run(vcpu: &mut RunningVcpu, surroundings: &impl Surroundings, stopping: &AtomicBool) -> Option<Ending> {
    let bus = surroundings.bus();
    while !stopping.load(Ordering::Acquire) {
        let mut wish = Wish::None;
        let ending = match vcpu.run() {
            Ok(VcpuExit::IoOut(port, data)) => {
                wish = bus.write_port(port, data);
                None
            }
            Ok(VcpuExit::IoIn(port, data)) => {
                bus.read_port(port, data);
                None
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                bus.write_memory(address, data);
                None
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                bus.read_memory(address, data);
                None
            }
            Ok(exit) => meaning(&exit),
            // A kick; or a vCPU that waits to be started was woken for nothing.
            Err(error) if [libc::EINTR, libc::EAGAIN].contains(&error.errno()) => None,
            Err(error) => Some(Ending::failure(anyhow::Error::new(error).context("cannot run a vCPU"))),
        };
        let ending = ending.or_else(|| grant(wish, vcpu, surroundings));
        if ending.is_some() {
            return ending;
        }
    }
    None
}

/// Does what the guest wants. Gives the guest's end, where this was it.
fn grant(wish: Wish, vcpu: &mut RunningVcpu, surroundings: &impl Surroundings) -> Option<Ending> {
    match wish {
        Wish::None => None,
        Wish::End(ending) => Some(ending),
        Wish::Started => {
            surroundings.note_start();
            None
        }
        Wish::Vcpus => surroundings.start_others().err().map(Ending::failure),
        Wish::Save => surroundings.save(vcpu).map(|saved| match saved {
            Ok(()) => Ending::new(ExitCode::Saved, "the guest was saved as a template"),
            Err(error) => Ending::failure(error),
        }),
    }
}

/// The most that a clone writes to devices before it reads its doorbell: a timer that expires can have its kernel notify one.
const WRITES_MAX: usize = 16;

/// What a clone has written to its devices before it had any: where, and what.
pub type Writes = Vec<(u64, Vec<u8>)>;

/// Runs the clone on `vcpu` up to the read of its doorbell, which is the first that it does. What it writes to devices before is for them, once
/// it has them.
///
/// # Errors
/// Where it does something else.
pub fn run_to_doorbell(vcpu: &mut VcpuFd) -> anyhow::Result<Writes> {
    let mut writes = Writes::new();
    loop {
        match vcpu.run() {
            Ok(VcpuExit::IoIn(DOORBELL_PORT, data)) if data.len() == size_of::<u32>() => return Ok(writes),
            Ok(VcpuExit::Intr) => {}
            Ok(VcpuExit::MmioWrite(address, data)) if writes.len() < WRITES_MAX => {
                writes.push((address, data.to_vec()));
            }
            Ok(exit) => anyhow::bail!("a clone does not read its doorbell but leaves its vCPU with {exit:?}"),
            Err(error) if error.errno() == libc::EINTR => {}
            Err(error) => return Err(anyhow::Error::new(error).context("cannot run a clone's vCPU")),
        }
    }
}

/// What an exit that is no access to a device means: the end of the guest, or nothing.
fn meaning(exit: &VcpuExit<'_>) -> Option<Ending> {
    let panic = |message: &str| Some(Ending::new(ExitCode::GuestPanic, message));
    match exit {
        VcpuExit::Intr | VcpuExit::IrqWindowOpen | VcpuExit::SetTpr | VcpuExit::IoapicEoi(_) | VcpuExit::Hlt => None,
        VcpuExit::Shutdown => {
            panic("the guest ended by a triple fault, as its kernel does after a panic or to restart")
        }
        VcpuExit::InternalError => panic("the guest executed what KVM cannot emulate"),
        VcpuExit::FailEntry(reason, _) => Some(Ending::new(
            ExitCode::GuestPanic,
            format!("the guest's processor state cannot be entered (hardware reason {reason:#x})"),
        )),
        VcpuExit::SystemEvent(SYSTEM_EVENT_SHUTDOWN, _) => {
            Some(Ending::new(ExitCode::GuestShutdown, "the guest shut down"))
        }
        VcpuExit::SystemEvent(..) => panic("the guest restarted or crashed"),
        other => Some(Ending::new(
            ExitCode::Failure,
            format!("KVM left the guest for an unknown reason: {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exit: &VcpuExit<'_>, expected: Option<ExitCode>) {
        assert_eq!(meaning(exit).map(|ending| ending.exit), expected, "{exit:?}");
    }

    #[test]
    fn a_guest_that_cannot_go_on_has_panicked() {
        check(&VcpuExit::Shutdown, Some(ExitCode::GuestPanic));
        check(&VcpuExit::InternalError, Some(ExitCode::GuestPanic));
        check(&VcpuExit::FailEntry(0x8000_0021, 0), Some(ExitCode::GuestPanic));
        check(&VcpuExit::SystemEvent(3, &[]), Some(ExitCode::GuestPanic));
    }

    #[test]
    fn an_orderly_end_is_one() {
        check(&VcpuExit::SystemEvent(1, &[]), Some(ExitCode::GuestShutdown));
    }

    #[test]
    fn an_interruption_means_nothing() {
        check(&VcpuExit::Intr, None);
        check(&VcpuExit::IrqWindowOpen, None);
    }

    #[test]
    fn what_was_never_asked_for_is_our_failure() {
        check(&VcpuExit::Hyperv, Some(ExitCode::Failure));
        check(&VcpuExit::Unsupported(99), Some(ExitCode::Failure));
    }
}
