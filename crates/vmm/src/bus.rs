//! What a guest's reads and writes outside its memory reach: the slots, the doorbell, the serial port, or nothing.
//!
//! Whatever a guest does here, it gets an answer: what nothing is behind reads as all ones on a port, as zero in memory, and takes
//! every write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use devices::serial::Serial;
use devices::slots::{QUEUE_NOTIFY_OFFSET, SavedSlot, SlotIndex, Slots};
use protocol::guest::{
    CLOCK_PORT, DOORBELL_BOOTED, DOORBELL_MEMORY, DOORBELL_PORT, DOORBELL_SHUTDOWN, DOORBELL_STARTED, DOORBELL_VCPUS,
    WANTS_STARTED,
};
use protocol::vmm::{Event, ExitCode, standing};

use crate::clock::{monotonic_ns, wall_ns};
use crate::ending::Ending;
use crate::reports::{Report, Reporter};
use crate::wiring::Wiring;
use crate::x86_64::layout::{SERIAL_PORT, SERIAL_PORTS, slot_at};

/// The way from a vCPU to the devices. All vCPU threads use the same one.
pub struct Bus {
    // The vCPU threads share them: a device sees one access at a time, whichever vCPU makes it.
    slots: Mutex<Slots>,
    /// What the guest is told at its doorbell.
    answer: u32,
    wiring: Wiring,
    serial: Option<Mutex<Serial>>,
    booted: AtomicBool,
    /// The moment of which the guest was told the lower half only; 0 is none.
    half_told_ns: AtomicU64,
    reporter: Reporter,
}

/// What the guest wants from whoever runs it.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    None,
    /// To be saved, if it is to be a template.
    Save,
    /// That its other vCPUs can be started.
    Vcpus,
    /// To have it known that its first program has begun.
    Started,
    /// To end.
    End(Ending),
}

impl Bus {
    /// A bus with these devices, of which the guest is told `bitmap`, and whether somebody wants to hear when its first program has begun; what the guest
    /// tells of itself goes to `reporter`.
    pub fn new(
        slots: Slots,
        bitmap: u16,
        is_observed: bool,
        wiring: Wiring,
        serial: Option<Serial>,
        reporter: Reporter,
    ) -> Self {
        Self {
            slots: Mutex::new(slots),
            answer: u32::from(bitmap) | if is_observed { WANTS_STARTED } else { 0 },
            wiring,
            serial: serial.map(Mutex::new),
            booted: AtomicBool::new(false),
            half_told_ns: AtomicU64::new(0),
            reporter,
        }
    }

    /// The guest writes `data` to `port`. Gives what it wants thereby.
    pub fn write_port(&self, port: u16, data: &[u8]) -> Wish {
        if port == DOORBELL_PORT {
            return data
                .try_into()
                .map_or(Wish::None, |value| self.ring(u32::from_le_bytes(value)));
        }
        if let (Some(mut serial), Some(offset), [value]) = (self.serial(), serial_offset(port), data) {
            serial.write(offset, *value);
        }
        Wish::None
    }

    /// The guest reads from `port`.
    pub fn read_port(&self, port: u16, data: &mut [u8]) {
        data.fill(u8::MAX);
        if port == DOORBELL_PORT && data.len() == size_of::<u32>() {
            self.tell_booted(monotonic_ns());
            data.copy_from_slice(&self.answer().to_le_bytes());
        } else if port == CLOCK_PORT && data.len() == size_of::<u32>() {
            data.copy_from_slice(&self.half_of_now());
        } else if let (Some(mut serial), Some(offset), [value]) = (self.serial(), serial_offset(port), data) {
            *value = serial.read(offset);
        }
    }

    /// One half of the wall clock after the other.
    fn half_of_now(&self) -> [u8; 4] {
        // vCPUs that ask at once get a wrong time, each other's half: theirs to see to.
        let (bytes, is_upper) = match self.half_told_ns.swap(0, Ordering::AcqRel) {
            0 => {
                let now_ns = wall_ns();
                self.half_told_ns.store(now_ns, Ordering::Release);
                (now_ns.to_le_bytes(), false)
            }
            told_ns => (told_ns.to_le_bytes(), true),
        };
        let [a, b, c, d, e, f, g, h] = bytes;
        if is_upper { [e, f, g, h] } else { [a, b, c, d] }
    }

    /// What a read of the doorbell gives: the plugged slots.
    pub fn answer(&self) -> u32 {
        self.answer
    }

    /// Tells that the guest agent runs. Only the first time: a guest must not be able to make us remember more and more.
    pub fn tell_booted(&self, monotonic_ns: u64) {
        if !self.booted.swap(true, Ordering::AcqRel) {
            self.reporter.report(Report::Event(Event::GuestBooted { monotonic_ns }));
        }
    }

    /// The guest writes `data` to `address`, where it has no memory.
    pub fn write_memory(&self, address: u64, data: &[u8]) {
        if let Some((slot, offset)) = slot_at(address) {
            let mut slots = self.slots();
            if offset == QUEUE_NOTIFY_OFFSET {
                self.wiring.notified(slot, &slots);
            }
            slots.write(slot, offset, data);
        }
    }

    /// The guest reads from `address`, where it has no memory.
    pub fn read_memory(&self, address: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some((slot, offset)) = slot_at(address) {
            self.slots().read(slot, offset, data);
        }
    }

    /// Brings the devices to rest, for good, and gives what the drivers have set up.
    pub fn rest(&self) -> Vec<(SlotIndex, SavedSlot)> {
        let mut slots = self.slots();
        slots.stop_workers();
        SlotIndex::all()
            .filter_map(|index| Some((index, slots.save(index)?)))
            .collect()
    }

    fn ring(&self, value: u32) -> Wish {
        match value {
            DOORBELL_BOOTED => Wish::Save,
            DOORBELL_VCPUS => Wish::Vcpus,
            DOORBELL_STARTED => Wish::Started,
            DOORBELL_MEMORY => {
                if let Some(slot) = SlotIndex::new(standing::MEMORY.into()) {
                    self.slots().raise_config(slot);
                }
                Wish::None
            }
            DOORBELL_SHUTDOWN => Wish::End(Ending::new(ExitCode::GuestShutdown, "the guest shut down")),
            _ => Wish::None,
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serial(&self) -> Option<MutexGuard<'_, Serial>> {
        self.serial
            .as_ref()
            .map(|serial| serial.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serial_offset(port: u16) -> Option<u8> {
    let offset = port.checked_sub(SERIAL_PORT).filter(|offset| *offset < SERIAL_PORTS)?;
    u8::try_from(offset).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use crate::reports;
    use crate::subscriber::Subscriber;
    use crate::workers::Workers;
    use crate::x86_64::layout::{Range, SLOT_WINDOWS};
    use devices::interrupt::Line;
    use devices::rng::Rng;
    use event_manager::EventManager;
    use proptest::prelude::*;
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::Receiver;
    use vmm_sys_util::eventfd::EventFd;

    fn bus() -> (Bus, Receiver<Report>) {
        let (reporter, reports) = reports::channel().unwrap();
        let endpoint = EventManager::<Subscriber>::new().unwrap().remote_endpoint();
        let range = Range {
            start: 0,
            bytes: 1 << 20,
        };
        let memory = memory::guest(vec![memory::anonymous(range).unwrap()]).unwrap();
        let line = |_| -> Arc<dyn Line> { Arc::new(EventFd::new(0).unwrap()) };
        let mut slots = Slots::new(memory, Box::new(Workers::new(endpoint)), Box::new(line));
        slots.plug(Box::new(Rng::new(io::empty()))).unwrap();
        slots.plug(Box::new(Rng::new(io::empty()))).unwrap();
        let serial = Serial::new(Box::new(io::sink())).unwrap();
        (
            Bus::new(slots, 3, false, Wiring::none(), Some(serial), reporter),
            reports,
        )
    }

    fn read_port(bus: &Bus, port: u16) -> [u8; 4] {
        let mut data = [0x5a; 4];
        bus.read_port(port, &mut data);
        data
    }

    #[test]
    fn the_doorbell_tells_which_slots_are_plugged() {
        assert_eq!(read_port(&bus().0, DOORBELL_PORT), [3, 0, 0, 0]);
    }

    #[test]
    fn the_wall_clock_is_told_in_halves_of_one_moment() {
        let bus = bus().0;
        for _ in 0..2 {
            let before = wall_ns();
            let [lower, upper] = [0; 2].map(|_| u64::from(u32::from_le_bytes(read_port(&bus, CLOCK_PORT))));
            let told = upper << 32 | lower;
            assert!(before <= told && told <= wall_ns(), "{before} {told}");
        }
    }

    #[test]
    fn the_first_boot_is_told_and_no_other() {
        let (bus, reports) = bus();
        for _ in 0..3 {
            assert_eq!(
                bus.write_port(DOORBELL_PORT, &DOORBELL_BOOTED.to_le_bytes()),
                Wish::Save
            );
            read_port(&bus, DOORBELL_PORT);
        }
        assert!(matches!(
            reports.try_recv(),
            Ok(Report::Event(Event::GuestBooted { .. }))
        ));
        assert!(reports.try_recv().is_err());
    }

    #[test]
    fn the_last_ring_ends_the_guest_in_good_order() {
        let wish = bus().0.write_port(DOORBELL_PORT, &DOORBELL_SHUTDOWN.to_le_bytes());
        assert!(matches!(wish, Wish::End(ending) if ending.exit == ExitCode::GuestShutdown));
    }

    #[test]
    fn where_nothing_is_ports_read_as_ones_and_memory_as_zero() {
        let (bus, _reports) = bus();
        assert_eq!(read_port(&bus, 0xcf8), [0xff; 4]);
        let mut data = [0x5a; 8];
        bus.read_memory(SLOT_WINDOWS - 8, &mut data);
        assert_eq!(data, [0; 8]);
    }

    #[test]
    fn a_window_leads_to_its_slot() {
        let (bus, _reports) = bus();
        let mut data = [0; 4];
        bus.read_memory(SLOT_WINDOWS, &mut data);
        assert_eq!(&data, b"virt");
    }

    proptest! {
        #[test]
        fn no_access_is_too_strange(port in any::<u16>(), address in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..=8)) {
            let (bus, _reports) = bus();
            let mut bytes = bytes;
            for address in [address, SLOT_WINDOWS + address % 0x1_1000] {
                bus.write_memory(address, &bytes);
                bus.read_memory(address, &mut bytes);
            }
            for port in [port, SERIAL_PORT + port % 8, DOORBELL_PORT + port % 4] {
                let shutdown = port == DOORBELL_PORT && bytes == DOORBELL_SHUTDOWN.to_le_bytes();
                prop_assert_eq!(matches!(bus.write_port(port, &bytes), Wish::End(_)), shutdown);
                bus.read_port(port, &mut bytes);
            }
        }
    }
}
