//! How a driver's notifications reach a device: through the bus at first, by KVM itself once they are many.
//!
//! To wire a queue costs more than several notifications on the slow way, and a short task makes no more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use devices::slots::{QUEUE_NOTIFY_OFFSET, SLOT_COUNT, SlotIndex, Slots};
use kvm_ioctls::{IoEventAddress, VmFd};

use crate::x86_64::layout::slot_window;

/// With one more notification than so many, a device is busy.
const LAST_BEFORE_BUSY: u32 = 15;

/// The notifications so far, and the virtual machine that can take them off the bus.
pub struct Wiring {
    vm: Option<Arc<VmFd>>,
    notifications: [AtomicU32; SLOT_COUNT],
}

impl Wiring {
    /// Queues of `vm`.
    pub fn of(vm: Arc<VmFd>) -> Self {
        Self {
            vm: Some(vm),
            ..Self::none()
        }
    }

    /// Nothing that could be wired.
    pub fn none() -> Self {
        Self {
            vm: None,
            notifications: Default::default(),
        }
    }

    /// Counts a notification that came over the bus; the one that makes a device busy wires its queues.
    pub fn notified(&self, slot: SlotIndex, slots: &Slots) {
        let before = self.notifications[slot.get()].fetch_add(1, Ordering::Relaxed);
        let (Some(vm), LAST_BEFORE_BUSY) = (&self.vm, before) else {
            return;
        };
        let notify = IoEventAddress::Mmio(slot_window(slot) + QUEUE_NOTIFY_OFFSET);
        for (queue, kick) in (0_u32..).zip(slots.kick_events(slot)) {
            // Where KVM has no room for it, the way over the bus stays.
            let _ = vm.register_ioevent(kick, &notify, queue);
        }
    }
}
