//! One virtio-mmio window: empty until a device is plugged into it.

use std::io;
use std::sync::Arc;

use thiserror::Error;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::device::{ActivateError, Activation, VirtioDevice, Worker};
use crate::interrupt::{Interrupt, Line};
use crate::slots::registers::{self, CONFIG, Effect, InvalidQueueSize, Registers, UNPLUGGED};
use crate::slots::saved::{SavedSlot, at_rest};
use crate::slots::sink::{SLOT_COUNT, SlotIndex, WorkerSink};

/// What a slot needs from its surroundings to start and stop a device.
pub(crate) struct Surroundings<'a> {
    pub(crate) index: SlotIndex,
    pub(crate) memory: &'a GuestMemoryMmap,
    pub(crate) sink: &'a dyn WorkerSink,
}

/// One virtio-mmio window (virtio 1.2, 4.2.2).
#[derive(Default)]
pub struct Slot {
    plugged: Option<Plugged>,
}

struct Plugged {
    device: Box<dyn VirtioDevice>,
    registers: Registers,
    interrupt: Interrupt,
    kicks: Vec<EventFd>,
    /// Whether the device thread has a worker of this device.
    serving: bool,
}

impl Slot {
    pub(crate) fn plug(&mut self, device: Box<dyn VirtioDevice>, line: Arc<dyn Line>) -> Result<(), PlugError> {
        let registers = Registers::new(device.device_type(), device.features(), device.queue_sizes())
            .map_err(|InvalidQueueSize(size)| PlugError::QueueSize { size })?;
        let kicks = device.queue_sizes().iter().map(|_| EventFd::new(EFD_NONBLOCK));
        let kicks = kicks
            .collect::<io::Result<_>>()
            .map_err(|source| PlugError::Event { source })?;
        self.plugged = Some(Plugged {
            device,
            registers,
            interrupt: Interrupt::new(line),
            kicks,
            serving: false,
        });
        Ok(())
    }

    /// What the driver of the device has set up; `None` for an empty slot.
    pub(crate) fn save(&self) -> Option<SavedSlot> {
        let plugged = self.plugged.as_ref()?;
        let is_kicked = |kick: &EventFd| {
            let is_kicked = kick.read().is_ok();
            // It stays as it was.
            is_kicked && kick.write(1).is_ok()
        };
        let is_kicked = plugged.kicks.iter().any(is_kicked);
        Some(plugged.registers.save(plugged.interrupt.status(), is_kicked))
    }

    /// Puts the device just plugged under the driver that left `saved`. It starts to work with the driver's first notification, or at once where it
    /// may have something to say, or something to do: a driver that has notified it once does not do so again.
    pub(crate) fn restore(&mut self, saved: &SavedSlot, surroundings: &Surroundings<'_>) -> Result<(), PlugError> {
        let Some(plugged) = &mut self.plugged else {
            return Ok(());
        };
        plugged.interrupt.restore(saved.interrupt_status);
        if !plugged.registers.restore(saved) {
            return Err(PlugError::Unlike);
        }
        if plugged.registers.is_running() && (saved.is_kicked || plugged.device.speaks_first()) {
            plugged.go_on(surroundings);
        }
        Ok(())
    }

    /// Notes that the device's worker goes; whether there was one.
    pub(crate) fn stop_serving(&mut self) -> bool {
        self.plugged
            .as_mut()
            .is_some_and(|plugged| std::mem::take(&mut plugged.serving))
    }

    /// Tells the driver that the configuration has changed.
    pub(crate) fn raise_config(&self) {
        if let Some(plugged) = &self.plugged {
            plugged.interrupt.raise_config();
        }
    }

    /// Whether no device is behind the window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plugged.is_none()
    }

    /// For each queue the descriptor that a write of its index to `QueueNotify` signals.
    #[must_use]
    pub fn kick_events(&self) -> &[EventFd] {
        self.plugged.as_ref().map_or(&[], |plugged| &plugged.kicks)
    }

    /// Reads `data.len()` bytes at `offset` of the window; what has no meaning reads as zero.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        match (&self.plugged, offset.checked_sub(CONFIG)) {
            (Some(plugged), Some(offset)) => plugged.device.read_config(offset, data),
            (Some(plugged), None) => answer(data, plugged.registers.read(offset, &plugged.interrupt)),
            (None, _) => answer(data, registers::identity(offset, UNPLUGGED)),
        }
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8], surroundings: &Surroundings<'_>) {
        let Some(plugged) = &mut self.plugged else { return };
        if let Some(offset) = offset.checked_sub(CONFIG) {
            plugged.device.write_config(offset, data);
            return;
        }
        // All registers in front of the configuration space are 32 bits wide (virtio 1.2, 4.2.2.2).
        let Ok(bytes) = data.try_into() else { return };
        match plugged.registers.write(offset, u32::from_le_bytes(bytes)) {
            Effect::None => {}
            Effect::Notify(queue) => plugged.notify(queue, surroundings),
            Effect::Acknowledge(reasons) => plugged.interrupt.acknowledge(reasons),
            Effect::Activate => plugged.activate(surroundings),
            Effect::Reset => plugged.reset(surroundings),
        }
    }
}

impl Plugged {
    /// A clone's device that waits to be asked starts to work when it is: until then nothing of it costs the start.
    fn notify(&mut self, queue: u32, surroundings: &Surroundings<'_>) {
        if !self.serving && !self.interrupt.needs_reset() {
            self.go_on(surroundings);
        }
        self.kick(queue);
    }

    /// Starts to work where the template's device rested.
    fn go_on(&mut self, surroundings: &Surroundings<'_>) {
        let queues = at_rest(self.registers.queues(), surroundings.memory);
        self.start(queues, surroundings);
    }

    /// The way of a notification that the hypervisor did not turn into a signal by itself.
    fn kick(&self, queue: u32) {
        let kick = usize::try_from(queue).ok().and_then(|queue| self.kicks.get(queue));
        if let Some(kick) = kick {
            // This fails only when the counter is full, and then the queue is kicked already.
            let _ = kick.write(1);
        }
    }

    fn activate(&mut self, surroundings: &Surroundings<'_>) {
        self.start(self.registers.queues(), surroundings);
    }

    fn start(&mut self, queues: Vec<Queue>, surroundings: &Surroundings<'_>) {
        match self.make_worker(queues, surroundings.memory) {
            Ok(worker) => {
                surroundings.sink.start(surroundings.index, worker);
                self.serving = true;
            }
            Err(error) => {
                surroundings.sink.refused(surroundings.index, &error);
                self.interrupt.request_reset();
            }
        }
    }

    fn make_worker(&mut self, queues: Vec<Queue>, memory: &GuestMemoryMmap) -> Result<Box<dyn Worker>, ActivateError> {
        if let Some(index) = queues.iter().position(|queue| queue.ready() && !queue.is_valid(memory)) {
            return Err(ActivateError::QueueOutsideMemory { index });
        }
        let kicks = self.kicks.iter().map(EventFd::try_clone).collect::<io::Result<_>>();
        let activation = Activation {
            memory: memory.clone(),
            queues,
            kicks: kicks.map_err(|source| ActivateError::Duplicate { source })?,
            interrupt: self.interrupt.clone(),
            features: self.registers.features(),
        };
        self.device.activate(activation)
    }

    fn reset(&mut self, surroundings: &Surroundings<'_>) {
        if self.serving {
            surroundings.sink.stop(surroundings.index);
            self.serving = false;
        }
        self.device.reset();
        self.interrupt.reset();
        for kick in &self.kicks {
            // An old kick must not reach the next worker; that there is none is no error.
            let _ = kick.read();
        }
    }
}

/// Writes a register into `data`, if it was asked for in its one width.
fn answer(data: &mut [u8], value: u32) {
    if data.len() == size_of::<u32>() {
        data.copy_from_slice(&value.to_le_bytes());
    }
}

/// Why a device did not get a slot.
#[derive(Debug, Error)]
pub enum PlugError {
    /// All slots are taken.
    #[error("all {SLOT_COUNT} slots are taken")]
    Full,
    /// The asked-for slot is taken.
    #[error("slot {index} is taken")]
    Taken {
        /// The slot.
        index: SlotIndex,
    },
    /// The device asks for a queue that virtio does not allow.
    #[error("a queue cannot have {size} entries")]
    QueueSize {
        /// The entries it asks for.
        size: u16,
    },
    /// The device is not of the kind, or has not the features, of the one that the driver has set up.
    #[error("the device is unlike the one that the driver has set up")]
    Unlike,
    /// The system has no event descriptor left.
    #[error("cannot create an event descriptor")]
    Event {
        /// The system's answer.
        source: io::Error,
    },
}
