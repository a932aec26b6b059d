//! The loop of a vCPU's thread: run the guest, do what it left for, run it again.

use std::sync::atomic::{AtomicBool, Ordering};

use kvm_ioctls::VcpuExit;
use protocol::vmm::ExitCode;

use crate::bus::Bus;
use crate::ending::Ending;
use crate::kick::RunningVcpu;

/// `KVM_SYSTEM_EVENT_SHUTDOWN`.
const SYSTEM_EVENT_SHUTDOWN: u32 = 1;

/// Runs `vcpu` until the guest ends, which is returned, or `stopping` is set and the thread kicked.
pub fn run(mut vcpu: RunningVcpu, bus: &Bus, stopping: &AtomicBool) -> Option<Ending> {
    while !stopping.load(Ordering::Acquire) {
        let ending = match vcpu.run() {
            Ok(VcpuExit::IoOut(port, data)) => bus.write_port(port, data),
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
        if ending.is_some() {
            return ending;
        }
    }
    None
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
