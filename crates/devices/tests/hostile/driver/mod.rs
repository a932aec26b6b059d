//! A driver that keeps to no rule, in a guest whose memory has a hole: what it does is read from any bytes, so that whoever has bytes can drive it.
//!
//! Part of the property tests of this crate and of the fuzz targets. Start at [`Driver::play`].

mod bytes;
mod device;
mod host;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use devices::device::{ActivateError, Worker};
use devices::slots::{SlotIndex, Slots, WorkerSink};
use event_manager::{EventManager, SubscriberId, SubscriberOps};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use bytes::Bytes;
pub use device::Device;
use host::Host;

/// The memory: one stretch, a hole, and two stretches that touch each other.
const STRETCHES: [(u64, usize); 3] = [(0, 0x10000), (0x20000, 0x8000), (0x28000, 0x8000)];
/// Where the memory ends.
const END: u64 = 0x30000;
/// The rings: each queue has so many bytes of its own from here on.
const RINGS: u64 = 0x1000;
const RING_BYTES: u32 = 0x1000;
/// The entries of a queue: as many as every queue of every device may have.
const ENTRIES: u16 = 8;
/// Where a driver puts its requests, and where it wants the answers.
const REQUESTS: u64 = 0x6000;
const ANSWERS: u64 = 0x8000;
/// The most that a device has.
const QUEUES_MAX: u8 = 3;

/// How often the device thread looks for something to do after each step. A guest may keep a device busy; it does not keep the one who tries.
const TURNS_MAX: usize = 16;
/// The longest script, in steps.
const STEPS_MAX: usize = 256;

/// The registers (virtio 1.2, 4.2.2).
const DRIVER_FEATURES: u64 = 0x20;
const DEVICE_FEATURES: u64 = 0x10;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_SIZE: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const STATUS: u64 = 0x70;
const QUEUE_PLACES: [u64; 3] = [0x80, 0x90, 0xa0];
const CONFIG: u64 = 0x100;

/// The status of a driver that knows the device, that agrees on features, and that has set up the queues (virtio 1.2, 2.1).
const DRIVER: u32 = 3;
const FEATURES_OK: u32 = 11;
const DRIVER_OK: u32 = 15;
const NEEDS_RESET: u32 = 64;
const FAILED: u32 = 128;

type Loop = Arc<Mutex<EventManager<Box<dyn Worker>>>>;

/// The device thread, run by the driver itself.
struct Sink {
    events: Loop,
    workers: Mutex<HashMap<SlotIndex, SubscriberId>>,
}

impl WorkerSink for Sink {
    fn start(&self, slot: SlotIndex, worker: Box<dyn Worker>) {
        let id = locked(&self.events).add_subscriber(worker);
        assert!(locked(&self.workers).insert(slot, id).is_none(), "a second worker");
    }

    fn stop(&self, slot: SlotIndex) {
        let id = locked(&self.workers).remove(&slot).expect("a worker to stop");
        drop(
            locked(&self.events)
                .remove_subscriber(id)
                .expect("a worker of the loop"),
        );
    }

    fn refused(&self, _slot: SlotIndex, _error: &ActivateError) {}
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A guest with one device.
pub struct Driver {
    memory: GuestMemoryMmap,
    slots: Slots,
    slot: SlotIndex,
    events: Loop,
    device: Device,
    host: Host,
    /// How many chains each queue was given.
    added: [u16; QUEUES_MAX as usize],
}

/// Whether a driver that keeps to the rules can use the device after one that did what the bytes say.
#[must_use]
pub fn withstands(device: Device, script: &[u8]) -> bool {
    let mut driver = Driver::of(device);
    driver.play(script);
    driver.is_usable()
}

impl Driver {
    /// A guest that has begun to use the device.
    ///
    /// # Panics
    /// Where the system has no room for it.
    #[must_use]
    pub fn of(device: Device) -> Self {
        let stretches = STRETCHES.map(|(start, bytes)| (GuestAddress(start), bytes));
        let memory = GuestMemoryMmap::from_ranges(&stretches).expect("memory");
        let events: Loop = Arc::new(Mutex::new(EventManager::new().expect("an event loop")));
        let sink = Sink {
            events: Arc::clone(&events),
            workers: Mutex::default(),
        };
        let line = Arc::new(EventFd::new(EFD_NONBLOCK).expect("a descriptor"));
        let mut slots = Slots::new(memory.clone(), Box::new(sink), Box::new(move |_| line.clone()));
        let mut host = Host::new();
        let slot = slots.plug(device.make(&mut host)).expect("a free slot");
        let mut this = Self {
            memory,
            slots,
            slot,
            events,
            device,
            host,
            added: [0; QUEUES_MAX as usize],
        };
        this.bring_up(u64::MAX, None);
        this
    }

    /// The guest's memory, for whoever changes it under the device.
    #[must_use]
    pub fn memory(&self) -> GuestMemoryMmap {
        self.memory.clone()
    }

    /// Does what the bytes say, and lets the device work after each step.
    pub fn play(&mut self, script: &[u8]) {
        let mut script = Bytes::of(script);
        for _ in 0..STEPS_MAX {
            if script.is_empty() {
                break;
            }
            self.step(&mut script);
            self.run();
        }
    }

    /// Whether a driver that keeps to the rules can use the device.
    #[must_use]
    pub fn is_usable(&mut self) -> bool {
        self.bring_up(u64::MAX, None);
        for queue in 0..self.device.queues() {
            self.write(QUEUE_NOTIFY, queue.into());
            self.run();
        }
        self.read(STATUS) == DRIVER_OK
    }

    fn step(&mut self, script: &mut Bytes<'_>) {
        let queue = script.below(self.device.queues());
        match script.below(16) {
            // What an ordinary driver does comes most often: all else is rarely more than a refusal.
            0..=5 => self.request(queue, script),
            6 => self.chain(queue, script),
            7 => self.descriptor(queue, script),
            8 => self.offer(queue, script.u8().into()),
            9 => self.put(self.ring(queue) + u64::from(RING_BYTES) / 4 + 2, &script.array::<2>()),
            10 => self.write(QUEUE_NOTIFY, script.u8().into()),
            11 => {
                let (place, bytes) = (script.address(), script.array::<8>());
                self.put(place, &bytes);
            }
            12 => self.access(script),
            13 => self.host.act(script),
            14 => self.write(STATUS, 0),
            _ => {
                let features = u64::from_le_bytes(script.array());
                let moved = script.bool().then(|| (script.u8(), script.address()));
                self.bring_up(features | 1 << 32, moved);
            }
        }
    }

    /// A request like a driver's, but for what the bytes say, in buffers that lie where a driver would have them.
    fn request(&mut self, queue: u8, script: &mut Bytes<'_>) {
        let head = self.device.request(script);
        self.put(REQUESTS, &head);
        let given = u32::try_from(head.len()).expect("a short one");
        let more = u32::from(script.u8()) * 16;
        let room = u32::from(script.u8()) * 64;
        let indirect = script.bool();
        let buffers = [(REQUESTS, given + more, 0), (ANSWERS, room, 2)];
        let used: Vec<_> = buffers.into_iter().filter(|&(_, bytes, _)| bytes > 0).collect();
        let table = if indirect { REQUESTS + 0x1800 } else { self.ring(queue) };
        for (index, &(address, bytes, write)) in used.iter().enumerate() {
            let next = u16::from(index + 1 < used.len());
            self.put_descriptor(table, index, (address, bytes), write | next, 1);
        }
        if indirect {
            let bytes = u32::try_from(used.len() * 16).expect("two");
            self.put_descriptor(self.ring(queue), 0, (table, bytes), 4, 0);
        }
        self.offer(queue, 0);
        self.write(QUEUE_NOTIFY, queue.into());
    }

    /// A chain of up to sixteen buffers of any kind, in a table or behind one entry.
    fn chain(&mut self, queue: u8, script: &mut Bytes<'_>) {
        let count = usize::from(script.below(16)) + 1;
        let table = if script.bool() {
            script.address()
        } else {
            self.ring(queue)
        };
        for index in 0..count {
            let next = u16::from(index + 1 < count);
            let flags = u16::from(script.below(2)) * 2;
            let place = (script.address(), script.length());
            let after = u16::try_from(index + 1).unwrap_or(0);
            self.put_descriptor(table, index, place, flags | next, after);
        }
        if table != self.ring(queue) {
            let bytes = u32::try_from(count * 16).unwrap_or(0);
            self.put_descriptor(self.ring(queue), 0, (table, bytes), 4, 0);
        }
        self.offer(queue, 0);
        self.write(QUEUE_NOTIFY, queue.into());
    }

    fn descriptor(&mut self, queue: u8, script: &mut Bytes<'_>) {
        let index = script.below(18).into();
        let place = (script.address(), script.length());
        let (flags, next) = (script.below(8).into(), script.below(18).into());
        self.put_descriptor(self.ring(queue), index, place, flags, next);
    }

    /// A register or the configuration space, in any width at any place.
    fn access(&mut self, script: &mut Bytes<'_>) {
        let offset = match script.below(3) {
            0 => u64::from(script.u8()) * 4,
            1 => CONFIG + u64::from(script.u8()),
            _ => u64::from_le_bytes(script.array()),
        };
        let bytes = script.array::<16>();
        let width = usize::from(script.below(17));
        let mut data = bytes;
        self.slots.read(self.slot, offset, &mut data[..width]);
        self.slots.write(self.slot, offset, &bytes[..width]);
    }

    /// Resets the device and sets it up, one of its rings at another place where one is `moved`.
    fn bring_up(&mut self, features: u64, moved: Option<(u8, u64)>) {
        self.write(STATUS, 0);
        self.write(STATUS, DRIVER);
        for half in [0, 1] {
            self.write(DEVICE_FEATURES + 4, half);
            let offered = self.read(DEVICE_FEATURES);
            self.write(DRIVER_FEATURES + 4, half);
            let wanted = u32::try_from(features >> (32 * half) & u64::from(u32::MAX)).unwrap_or(0);
            self.write(DRIVER_FEATURES, offered & wanted);
        }
        self.write(STATUS, FEATURES_OK);
        self.added = [0; QUEUES_MAX as usize];
        for queue in 0..self.device.queues() {
            let ring = self.ring(queue);
            self.put(ring, &[0; RING_BYTES as usize]);
            self.write(QUEUE_SEL, queue.into());
            self.write(QUEUE_SIZE, ENTRIES.into());
            for (index, register) in (0..).zip(QUEUE_PLACES) {
                let place = match moved {
                    Some((which, place)) if which % (3 * QUEUES_MAX) == queue * 3 + index => place,
                    _ => ring + u64::from(index) * u64::from(RING_BYTES) / 4,
                };
                self.write(register, u32::try_from(place & u64::from(u32::MAX)).unwrap_or(0));
                self.write(register + 4, u32::try_from(place >> 32).unwrap_or(0));
            }
            self.write(QUEUE_READY, 1);
        }
        self.write(STATUS, DRIVER_OK);
        self.run();
    }

    fn ring(&self, queue: u8) -> u64 {
        RINGS + u64::from(queue) * u64::from(RING_BYTES)
    }

    /// Makes whatever begins at entry `head` available.
    fn offer(&mut self, queue: u8, head: u16) {
        let available = self.ring(queue) + u64::from(RING_BYTES) / 4;
        let added = self.added[usize::from(queue)];
        self.put(available + 4 + u64::from(added % ENTRIES) * 2, &head.to_le_bytes());
        let added = added.wrapping_add(1);
        self.added[usize::from(queue)] = added;
        self.put(available + 2, &added.to_le_bytes());
    }

    fn put_descriptor(&self, table: u64, index: usize, (address, bytes): (u64, u32), flags: u16, next: u16) {
        let mut entry = [0; 16];
        entry[..8].copy_from_slice(&address.to_le_bytes());
        entry[8..12].copy_from_slice(&bytes.to_le_bytes());
        entry[12..14].copy_from_slice(&flags.to_le_bytes());
        entry[14..].copy_from_slice(&next.to_le_bytes());
        self.put(table.wrapping_add(index as u64 * 16), &entry);
    }

    /// Writes as much of it as there is memory for.
    fn put(&self, place: u64, bytes: &[u8]) {
        let _ = self.memory.write_slice(bytes, GuestAddress(place));
    }

    fn read(&self, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.slots.read(self.slot, offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.slots.write(self.slot, offset, &value.to_le_bytes());
    }

    /// Lets the device work for a while, and takes its interrupt.
    fn run(&mut self) {
        let mut events = locked(&self.events);
        for _ in 0..TURNS_MAX {
            if events.run_with_timeout(0).expect("an event loop") == 0 {
                break;
            }
        }
        drop(events);
        assert!(
            self.read(STATUS) & !(DRIVER_OK | NEEDS_RESET | FAILED) == 0,
            "a status that nobody wrote"
        );
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.slots.stop_workers();
    }
}
