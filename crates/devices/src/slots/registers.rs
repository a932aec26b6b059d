//! The register file of one window (virtio 1.2, 4.2.2), as a state machine that decides and does nothing.

use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueState, QueueT};

use crate::interrupt::Interrupt;
use crate::slots::saved::{SavedQueue, SavedSlot};

/// The offset in a window of the register `QueueNotify`, to which a driver writes a queue's index.
pub const QUEUE_NOTIFY_OFFSET: u64 = 0x50;

/// Where the device's own configuration space begins.
pub const CONFIG: u64 = 0x100;

/// The device number of an empty slot, which makes a driver leave it alone.
pub const UNPLUGGED: u32 = 0;

/// What every slot offers on top of the device's own features.
pub const TRANSPORT_FEATURES: u64 =
    1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"mote");
/// What the lengths of a shared memory region that does not exist read as.
const NO_SHARED_MEMORY: u32 = u32::MAX;

/// The offsets, named as in the specification.
mod offset {
    pub(super) const MAGIC_VALUE: u64 = 0x00;
    pub(super) const VERSION: u64 = 0x04;
    pub(super) const DEVICE_ID: u64 = 0x08;
    pub(super) const VENDOR_ID: u64 = 0x0c;
    pub(super) const DEVICE_FEATURES: u64 = 0x10;
    pub(super) const DEVICE_FEATURES_SEL: u64 = 0x14;
    pub(super) const DRIVER_FEATURES: u64 = 0x20;
    pub(super) const DRIVER_FEATURES_SEL: u64 = 0x24;
    pub(super) const QUEUE_SEL: u64 = 0x30;
    pub(super) const QUEUE_SIZE_MAX: u64 = 0x34;
    pub(super) const QUEUE_SIZE: u64 = 0x38;
    pub(super) const QUEUE_READY: u64 = 0x44;
    pub(super) const QUEUE_NOTIFY: u64 = super::QUEUE_NOTIFY_OFFSET;
    pub(super) const INTERRUPT_STATUS: u64 = 0x60;
    pub(super) const INTERRUPT_ACK: u64 = 0x64;
    pub(super) const STATUS: u64 = 0x70;
    pub(super) const QUEUE_DESC_LOW: u64 = 0x80;
    pub(super) const QUEUE_DESC_HIGH: u64 = 0x84;
    pub(super) const QUEUE_DRIVER_LOW: u64 = 0x90;
    pub(super) const QUEUE_DRIVER_HIGH: u64 = 0x94;
    pub(super) const QUEUE_DEVICE_LOW: u64 = 0xa0;
    pub(super) const QUEUE_DEVICE_HIGH: u64 = 0xa4;
    pub(super) const SHM_LEN_LOW: u64 = 0xb0;
    pub(super) const SHM_BASE_HIGH: u64 = 0xbc;
}

/// A number of entries that virtio allows no queue to have.
#[derive(Clone, Copy, Debug)]
pub struct InvalidQueueSize(pub u16);

/// What a write asks the slot to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Effect {
    /// Nothing: the register file has taken note.
    None,
    /// Tell the device to look at this queue.
    Notify(u32),
    /// Take these reasons out of the interrupt status.
    Acknowledge(u32),
    /// The driver is ready: give the queues to the device.
    Activate,
    /// Take the queues away from the device and start anew.
    Reset,
}

/// The registers of a window with a device behind it.
#[derive(Debug)]
pub struct Registers {
    device_type: u32,
    offered: u64,
    accepted: u64,
    device_features_select: u32,
    driver_features_select: u32,
    queue_select: u32,
    status: u32,
    queues: Vec<Queue>,
}

impl Registers {
    /// The registers after power-on.
    ///
    /// # Errors
    ///
    /// When a queue size is none that virtio allows.
    pub fn new(device_type: u32, device_features: u64, queue_sizes: &[u16]) -> Result<Self, InvalidQueueSize> {
        let queues = queue_sizes
            .iter()
            .map(|&size| Queue::new(size).map_err(|_| InvalidQueueSize(size)));
        Ok(Self {
            device_type,
            offered: device_features | TRANSPORT_FEATURES,
            accepted: 0,
            device_features_select: 0,
            driver_features_select: 0,
            queue_select: 0,
            status: 0,
            queues: queues.collect::<Result<_, _>>()?,
        })
    }

    /// The feature bits that the driver has accepted.
    #[must_use]
    pub fn features(&self) -> u64 {
        self.accepted
    }

    /// The queues as the driver has set them up.
    #[must_use]
    pub fn queues(&self) -> Vec<Queue> {
        self.queues.iter().map(|queue| self.configured(queue)).collect()
    }

    /// Reads the register at `at`; what is not a register, or can only be written, is zero.
    #[must_use]
    pub fn read(&self, at: u64, interrupt: &Interrupt) -> u32 {
        match at {
            offset::DEVICE_FEATURES => half(self.offered, self.device_features_select),
            offset::QUEUE_SIZE_MAX => self.selected().map_or(0, |queue| queue.max_size().into()),
            offset::QUEUE_READY => self.selected().map_or(0, |queue| queue.ready().into()),
            offset::INTERRUPT_STATUS => interrupt.status(),
            offset::STATUS if interrupt.needs_reset() => self.status | VIRTIO_CONFIG_S_NEEDS_RESET,
            offset::STATUS => self.status,
            offset::SHM_LEN_LOW..=offset::SHM_BASE_HIGH => NO_SHARED_MEMORY,
            // Everything else, the configuration's generation among it: no configuration changes while it is in use.
            _ => identity(at, self.device_type),
        }
    }

    /// Writes the register at `at`; what is not a register, can only be read, or may not be written now, is ignored.
    pub fn write(&mut self, at: u64, value: u32) -> Effect {
        match at {
            offset::DEVICE_FEATURES_SEL => self.device_features_select = value,
            offset::DRIVER_FEATURES_SEL => self.driver_features_select = value,
            offset::DRIVER_FEATURES => self.accept_features(value),
            offset::QUEUE_SEL => self.queue_select = value,
            offset::QUEUE_NOTIFY if self.is_running() => return Effect::Notify(value),
            offset::INTERRUPT_ACK => return Effect::Acknowledge(value),
            offset::STATUS => return self.write_status(value),
            _ => self.write_queue(at, value),
        }
        Effect::None
    }

    /// What the driver has set up.
    #[must_use]
    pub(crate) fn save(&self, interrupt_status: u32, is_kicked: bool) -> SavedSlot {
        let queues = self.queues.iter().map(|queue| {
            let state = queue.state();
            SavedQueue {
                size: state.size,
                ready: state.ready,
                descriptors: state.desc_table,
                driver_ring: state.avail_ring,
                device_ring: state.used_ring,
            }
        });
        SavedSlot {
            device_type: self.device_type,
            features: self.accepted,
            status: self.status,
            interrupt_status,
            is_kicked,
            queues: queues.collect(),
        }
    }

    /// Takes over what another device's driver has set up; `false` where that was another kind of device.
    #[must_use]
    pub(crate) fn restore(&mut self, saved: &SavedSlot) -> bool {
        let alike = saved.device_type == self.device_type
            && saved.features & !self.offered == 0
            && saved.queues.len() == self.queues.len();
        if !alike {
            return false;
        }
        self.accepted = saved.features;
        self.status = saved.status;
        for (queue, saved) in self.queues.iter_mut().zip(&saved.queues) {
            let restored = Queue::try_from(QueueState {
                max_size: queue.max_size(),
                size: saved.size,
                ready: saved.ready,
                desc_table: saved.descriptors,
                avail_ring: saved.driver_ring,
                used_ring: saved.device_ring,
                ..queue.state()
            });
            match restored {
                Ok(restored) => *queue = restored,
                Err(_) => return false,
            }
        }
        true
    }

    fn has(&self, bits: u32) -> bool {
        self.status & bits == bits
    }

    /// Whether the driver has set the device up.
    pub(crate) fn is_running(&self) -> bool {
        self.has(VIRTIO_CONFIG_S_DRIVER_OK)
    }

    fn selected(&self) -> Option<&Queue> {
        usize::try_from(self.queue_select)
            .ok()
            .and_then(|index| self.queues.get(index))
    }

    /// Features may be written until they are agreed on (virtio 1.2, 3.1.1).
    fn accept_features(&mut self, value: u32) {
        if !self.has(VIRTIO_CONFIG_S_DRIVER) || self.has(VIRTIO_CONFIG_S_FEATURES_OK) {
            return;
        }
        match self.driver_features_select {
            0 => self.accepted = self.accepted & !u64::from(u32::MAX) | u64::from(value),
            1 => self.accepted = self.accepted & u64::from(u32::MAX) | u64::from(value) << 32,
            _ => {}
        }
    }

    /// Queues may be set up between the agreement on features and `DRIVER_OK` (virtio 1.2, 3.1.1).
    fn write_queue(&mut self, at: u64, value: u32) {
        if !self.has(VIRTIO_CONFIG_S_FEATURES_OK) || self.is_running() {
            return;
        }
        let index = usize::try_from(self.queue_select).ok();
        let Some(queue) = index.and_then(|index| self.queues.get_mut(index)) else {
            return;
        };
        match at {
            offset::QUEUE_READY => queue.set_ready(value == 1),
            // A queue in use keeps its place (virtio 1.2, 4.2.2.2).
            _ if queue.ready() => {}
            offset::QUEUE_SIZE => {
                if let Ok(size) = u16::try_from(value) {
                    queue.set_size(size);
                }
            }
            offset::QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            offset::QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
            offset::QUEUE_DRIVER_LOW => queue.set_avail_ring_address(Some(value), None),
            offset::QUEUE_DRIVER_HIGH => queue.set_avail_ring_address(None, Some(value)),
            offset::QUEUE_DEVICE_LOW => queue.set_used_ring_address(Some(value), None),
            offset::QUEUE_DEVICE_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn write_status(&mut self, value: u32) -> Effect {
        if value == 0 {
            self.reset();
            return Effect::Reset;
        }
        // A driver may add bits, one step at a time, and take none away but by a reset (virtio 1.2, 2.1.1).
        if self.status & !value != 0 {
            return Effect::None;
        }
        let added = value & !self.status;
        self.status |= added & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FAILED);
        if added & VIRTIO_CONFIG_S_FEATURES_OK != 0 && self.features_fit() {
            self.status |= VIRTIO_CONFIG_S_FEATURES_OK;
        }
        if added & VIRTIO_CONFIG_S_DRIVER_OK != 0 && self.has(VIRTIO_CONFIG_S_FEATURES_OK) {
            self.status |= VIRTIO_CONFIG_S_DRIVER_OK;
            return Effect::Activate;
        }
        Effect::None
    }

    /// A driver accepts what was offered, and always `VERSION_1`, since this is no legacy device.
    fn features_fit(&self) -> bool {
        self.has(VIRTIO_CONFIG_S_DRIVER)
            && self.accepted & !self.offered == 0
            && self.accepted & (1 << VIRTIO_F_VERSION_1) != 0
    }

    fn reset(&mut self) {
        self.accepted = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.queue_select = 0;
        self.status = 0;
        self.queues.iter_mut().for_each(QueueT::reset);
    }

    fn configured(&self, queue: &Queue) -> Queue {
        let mut state = queue.state();
        state.event_idx_enabled = self.accepted & (1 << VIRTIO_RING_F_EVENT_IDX) != 0;
        // The state comes from a queue, so it describes one; were it not so, a queue that is not ready is refused.
        Queue::try_from(state).unwrap_or_default()
    }
}

/// The registers that tell what is in a slot; all others are zero.
#[must_use]
pub fn identity(at: u64, device_type: u32) -> u32 {
    match at {
        offset::MAGIC_VALUE => MAGIC,
        offset::VERSION => VERSION,
        offset::DEVICE_ID => device_type,
        offset::VENDOR_ID => VENDOR,
        _ => 0,
    }
}

/// The 32 bits of `features` that `select` names; virtio has no more than four halves, of which ours are two.
fn half(features: u64, select: u32) -> u32 {
    let bits = match select {
        0 => features,
        1 => features >> 32,
        _ => 0,
    };
    u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default()
}
