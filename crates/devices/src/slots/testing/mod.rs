//! A guest for tests: 64 KiB of memory, one device, and a driver that goes about it as Linux does.

pub(crate) mod queue;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use event_manager::{EventManager, SubscriberId, SubscriberOps};
use vm_memory::{GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::device::{ActivateError, VirtioDevice, Worker};
use crate::slots::testing::queue::{DriverQueue, QUEUE_ENTRIES};
use crate::slots::{SlotIndex, Slots, WorkerSink};

/// Enough for three queues and 48 KiB of buffers.
pub(crate) const MEMORY_BYTES: usize = 64 * 1024;
/// Where the buffers may be; in front of it are the rings.
pub(crate) const BUFFERS: u64 = 0x4000;

pub(crate) const MAGIC: u64 = 0x00;
pub(crate) const VERSION: u64 = 0x04;
pub(crate) const DEVICE_ID: u64 = 0x08;
pub(crate) const DEVICE_FEATURES: u64 = 0x10;
pub(crate) const DEVICE_FEATURES_SEL: u64 = 0x14;
pub(crate) const DRIVER_FEATURES: u64 = 0x20;
pub(crate) const DRIVER_FEATURES_SEL: u64 = 0x24;
pub(crate) const QUEUE_SEL: u64 = 0x30;
pub(crate) const QUEUE_SIZE_MAX: u64 = 0x34;
pub(crate) const QUEUE_SIZE: u64 = 0x38;
pub(crate) const QUEUE_READY: u64 = 0x44;
pub(crate) const QUEUE_NOTIFY: u64 = 0x50;
pub(crate) const INTERRUPT_STATUS: u64 = 0x60;
pub(crate) const INTERRUPT_ACK: u64 = 0x64;
pub(crate) const STATUS: u64 = 0x70;
pub(crate) const QUEUE_DESC: u64 = 0x80;
pub(crate) const QUEUE_DRIVER: u64 = 0x90;
pub(crate) const QUEUE_DEVICE: u64 = 0xa0;

pub(crate) const ACKNOWLEDGE: u32 = 1;
pub(crate) const DRIVER: u32 = 2;
pub(crate) const DRIVER_OK: u32 = 4;
pub(crate) const FEATURES_OK: u32 = 8;
pub(crate) const NEEDS_RESET: u32 = 64;

pub(crate) const EVENT_IDX: u64 = 1 << 29;

type Loop = Arc<Mutex<EventManager<Box<dyn Worker>>>>;

/// The device thread, run by the test itself.
struct Sink {
    events: Loop,
    workers: Mutex<HashMap<SlotIndex, SubscriberId>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl WorkerSink for Sink {
    fn start(&self, slot: SlotIndex, worker: Box<dyn Worker>) {
        let id = self.events.lock().unwrap().add_subscriber(worker);
        assert!(
            self.workers.lock().unwrap().insert(slot, id).is_none(),
            "a second worker for slot {slot}"
        );
    }

    fn stop(&self, slot: SlotIndex) {
        let id = self.workers.lock().unwrap().remove(&slot).expect("a worker to stop");
        drop(self.events.lock().unwrap().remove_subscriber(id).unwrap());
    }

    fn refused(&self, _slot: SlotIndex, error: &ActivateError) {
        self.refusals.lock().unwrap().push(error.to_string());
    }
}

/// A guest with one device.
pub(crate) struct Guest {
    pub(crate) memory: GuestMemoryMmap,
    pub(crate) slots: Slots,
    pub(crate) slot: SlotIndex,
    events: Loop,
    refusals: Arc<Mutex<Vec<String>>>,
    line: Arc<EventFd>,
}

impl Guest {
    pub(crate) fn with(device: impl VirtioDevice + 'static) -> Self {
        Self::with_memory(MEMORY_BYTES, device)
    }

    pub(crate) fn with_memory(bytes: usize, device: impl VirtioDevice + 'static) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), bytes)]).unwrap();
        Self::with_slots(memory, |slots| slots.plug(Box::new(device)).unwrap())
    }

    /// The same guest on another host: its memory, and `device` in place of the one it knows.
    pub(crate) fn restored(&self, device: impl VirtioDevice + 'static) -> Self {
        let saved = self.slots.save(self.slot).unwrap();
        Self::with_slots(self.memory.clone(), |slots| {
            slots.restore_at(self.slot, Box::new(device), &saved).unwrap();
            self.slot
        })
    }

    fn with_slots(memory: GuestMemoryMmap, plug: impl FnOnce(&mut Slots) -> SlotIndex) -> Self {
        let events: Loop = Arc::new(Mutex::new(EventManager::new().unwrap()));
        let refusals = Arc::default();
        let sink = Sink {
            events: Arc::clone(&events),
            workers: Mutex::default(),
            refusals: Arc::clone(&refusals),
        };
        let line = Arc::new(EventFd::new(EFD_NONBLOCK).unwrap());
        let pulsed = Arc::clone(&line);
        let mut slots = Slots::new(memory.clone(), Box::new(sink), Box::new(move |_| pulsed.clone()));
        let slot = plug(&mut slots);
        Self {
            memory,
            slots,
            slot,
            events,
            refusals,
            line,
        }
    }

    pub(crate) fn read(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.slots.read(self.slot, offset, &mut data);
        u32::from_le_bytes(data)
    }

    pub(crate) fn write(&mut self, offset: u64, value: u32) {
        self.slots.write(self.slot, offset, &value.to_le_bytes());
    }

    pub(crate) fn config(&self, offset: u64, bytes: usize) -> Vec<u8> {
        let mut data = vec![0xee; bytes];
        self.slots.read(self.slot, 0x100 + offset, &mut data);
        data
    }

    /// Everything up to the agreement on features.
    pub(crate) fn negotiate(&mut self, wanted: u64) -> u64 {
        assert_eq!((self.read(MAGIC), self.read(VERSION)), (0x7472_6976, 2));
        assert_ne!(self.read(DEVICE_ID), 0);
        self.write(STATUS, 0);
        self.write(STATUS, ACKNOWLEDGE);
        self.write(STATUS, ACKNOWLEDGE | DRIVER);
        let mut accepted = 0;
        for half in [0, 1] {
            self.write(DEVICE_FEATURES_SEL, half);
            let bits = u64::from(self.read(DEVICE_FEATURES)) << (32 * half) & wanted;
            accepted |= bits;
            self.write(DRIVER_FEATURES_SEL, half);
            self.write(DRIVER_FEATURES, u32::try_from(bits >> (32 * half)).unwrap());
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_ne!(self.read(STATUS) & FEATURES_OK, 0);
        accepted
    }

    /// Sets up one queue at the place that tests have for it.
    pub(crate) fn set_up(&mut self, queue: &DriverQueue) {
        self.write(QUEUE_SEL, queue.index);
        assert_eq!(self.read(QUEUE_READY), 0);
        assert!(self.read(QUEUE_SIZE_MAX) >= u32::from(queue.entries));
        self.write(QUEUE_SIZE, queue.entries.into());
        for (register, address) in [
            (QUEUE_DESC, queue.table),
            (QUEUE_DRIVER, queue.avail),
            (QUEUE_DEVICE, queue.used),
        ] {
            self.write(register, u32::try_from(address).unwrap());
            self.write(register + 4, 0);
        }
        self.write(QUEUE_READY, 1);
        assert_eq!(self.read(QUEUE_READY), 1);
    }

    /// The whole way from power-on to a device at work, with the features `wanted` as far as there are.
    pub(crate) fn bring_up(&mut self, wanted: u64) -> Vec<DriverQueue> {
        let accepted = self.negotiate(wanted);
        let mut queues = Vec::new();
        for index in 0.. {
            self.write(QUEUE_SEL, index);
            let size = self.read(QUEUE_SIZE_MAX);
            if size == 0 {
                break;
            }
            let entries = u16::try_from(size).unwrap().min(QUEUE_ENTRIES);
            let queue = DriverQueue::new(&self.memory, index, entries, accepted & EVENT_IDX != 0);
            self.set_up(&queue);
            queues.push(queue);
        }
        self.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        assert_eq!(
            self.read(STATUS),
            ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
            "{:?}",
            self.refusals()
        );
        self.run();
        queues
    }

    /// Tells the device of new buffers, and lets it work until it has nothing to do.
    pub(crate) fn kick(&mut self, queue: u32) {
        self.write(QUEUE_NOTIFY, queue);
        self.run();
    }

    /// Lets the device work until it has nothing to do. A device that never comes to rest fails the test.
    pub(crate) fn run(&mut self) {
        let mut events = self.events.lock().unwrap();
        for _ in 0..100_000 {
            if events.run_with_timeout(0).unwrap() == 0 {
                return;
            }
        }
        panic!("the device does not come to rest");
    }

    /// Waits until something happens, and lets the device work on it.
    pub(crate) fn wait(&mut self) {
        self.events.lock().unwrap().run().unwrap();
    }

    /// Takes an interrupt, as a driver's handler does: its reasons, or nothing if there was none.
    pub(crate) fn take_interrupt(&mut self) -> u32 {
        let raised = self.line.read().is_ok();
        let reasons = self.read(INTERRUPT_STATUS);
        self.write(INTERRUPT_ACK, reasons);
        assert!(raised || reasons == 0, "a reason without an interrupt");
        if raised { reasons } else { 0 }
    }

    pub(crate) fn needs_reset(&self) -> bool {
        self.read(STATUS) & NEEDS_RESET != 0
    }

    pub(crate) fn refusals(&self) -> Vec<String> {
        self.refusals.lock().unwrap().clone()
    }
}
