//! One slot's interrupt: the line, the reason for it, and the plea for a reset.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use virtio_bindings::bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use vmm_sys_util::eventfd::EventFd;

/// An input of the guest's interrupt controller.
pub trait Line: fmt::Debug + Send + Sync {
    /// Raises the line and lowers it again: the controller takes edges.
    fn pulse(&self);
}

impl Line for EventFd {
    fn pulse(&self) {
        // This fails only when the counter is full, and then the line is raised already.
        let _ = self.write(1);
    }
}

/// The interrupt line and status of one slot. A clone raises the same line.
#[derive(Clone, Debug)]
pub struct Interrupt {
    // Shared by the device thread, which raises, and the vCPU threads, which read and acknowledge: each touches single
    // words and neither ever waits for the other.
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The register `InterruptStatus` (virtio 1.2, 4.2.2): why the line was raised.
    status: AtomicU32,
    needs_reset: AtomicBool,
    line: Arc<dyn Line>,
}

impl Interrupt {
    /// An interrupt that is raised by `line`.
    #[must_use]
    pub fn new(line: Arc<dyn Line>) -> Self {
        let shared = Shared {
            status: AtomicU32::new(0),
            needs_reset: AtomicBool::new(false),
            line,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Tells the driver that buffers were used.
    pub fn raise_queue(&self) {
        self.raise(VIRTIO_MMIO_INT_VRING);
    }

    /// Tells the driver that the configuration or the device's status has changed.
    pub fn raise_config(&self) {
        self.raise(VIRTIO_MMIO_INT_CONFIG);
    }

    /// Tells the driver that the device cannot go on before it is reset (`DEVICE_NEEDS_RESET`; virtio 1.2, 2.1).
    pub fn request_reset(&self) {
        self.shared.needs_reset.store(true, Ordering::Release);
        self.raise_config();
    }

    /// Whether the device has asked to be reset.
    #[must_use]
    pub fn needs_reset(&self) -> bool {
        self.shared.needs_reset.load(Ordering::Acquire)
    }

    /// The register `InterruptStatus`.
    #[must_use]
    pub fn status(&self) -> u32 {
        self.shared.status.load(Ordering::Acquire)
    }

    /// Takes the bits of `reasons` out of the status, as a write to `InterruptACK` does.
    pub fn acknowledge(&self, reasons: u32) {
        self.shared.status.fetch_and(!reasons, Ordering::AcqRel);
    }

    /// Back to the reasons that a driver of the template had not acknowledged. It may not have been interrupted for them either: the template's
    /// interrupt controllers were saved before its devices rested.
    pub(crate) fn restore(&self, reasons: u32) {
        self.shared.status.store(reasons, Ordering::Release);
        if reasons != 0 {
            self.shared.line.pulse();
        }
    }

    /// Back to the state after power-on.
    pub(crate) fn reset(&self) {
        self.shared.needs_reset.store(false, Ordering::Release);
        self.shared.status.store(0, Ordering::Release);
    }

    fn raise(&self, reason: u32) {
        // Reason before line: a driver that is woken by the line must find the reason.
        self.shared.status.fetch_or(reason, Ordering::AcqRel);
        self.shared.line.pulse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmm_sys_util::eventfd::EFD_NONBLOCK;

    fn interrupt() -> (Interrupt, Arc<EventFd>) {
        let line = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        (Interrupt::new(line.clone()), line)
    }

    #[test]
    fn a_clone_raises_the_same_line() {
        let (interrupt, line) = interrupt();
        interrupt.clone().raise_queue();
        assert_eq!(interrupt.status(), 1);
        assert_eq!(line.read().unwrap(), 1);
    }

    #[test]
    fn acknowledging_one_reason_keeps_the_other() {
        let (interrupt, _line) = interrupt();
        interrupt.raise_queue();
        interrupt.raise_config();
        interrupt.acknowledge(VIRTIO_MMIO_INT_VRING);
        assert_eq!(interrupt.status(), VIRTIO_MMIO_INT_CONFIG);
    }

    #[test]
    fn a_reset_forgets_the_plea_and_the_reasons() {
        let (interrupt, _line) = interrupt();
        interrupt.request_reset();
        assert!(interrupt.needs_reset());
        interrupt.reset();
        assert!(!interrupt.needs_reset());
        assert_eq!(interrupt.status(), 0);
    }
}
