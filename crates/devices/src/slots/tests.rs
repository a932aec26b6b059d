//! A window, driven as Linux drives it and as nobody should.

use std::io;

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use crate::rng::Rng;
use crate::slots::testing::queue::{DriverQueue, QUEUE_ENTRIES, into};
use crate::slots::testing::*;
use crate::slots::{PlugError, SlotIndex};

const ALL: u64 = u64::MAX;

fn guest() -> Guest {
    Guest::with(Rng::new(io::repeat(0xab)))
}

/// Whether the device does its work.
fn works(guest: &mut Guest) -> bool {
    let mut queues = guest.bring_up(ALL);
    queues[0].add(&[into(BUFFERS, 8)]);
    guest.kick(0);
    queues[0].take_used().is_some_and(|(_, bytes)| bytes == 8)
}

#[test]
fn an_empty_slot_says_that_nothing_is_there() {
    let mut guest = guest();
    guest.slot = SlotIndex::new(15).unwrap();
    assert_eq!(
        (guest.read(MAGIC), guest.read(VERSION), guest.read(DEVICE_ID)),
        (0x7472_6976, 2, 0)
    );
    guest.write(STATUS, ACKNOWLEDGE);
    assert_eq!(guest.read(STATUS), 0);
    assert_eq!(guest.config(0, 8), [0; 8]);
    assert!(guest.slots.kick_events(guest.slot).is_empty());
}

#[test]
fn a_clones_device_goes_on_where_the_templates_rested() {
    let mut template = guest();
    let mut queues = template.bring_up(ALL);
    queues[0].add(&[into(BUFFERS, 8)]);
    template.kick(0);
    assert!(queues[0].take_used().is_some());
    let mut clone = template.restored(Rng::new(io::repeat(7)));
    assert_eq!(clone.read(STATUS), template.read(STATUS));
    queues[0].add(&[into(BUFFERS, 8)]);
    clone.kick(0);
    assert!(queues[0].take_used().is_some());
    assert!(queues[0].take_used().is_none());
    assert!(works(&mut clone));
}

/// The interrupt controllers of a template are saved before its devices rest: what is raised between the two is in neither.
#[test]
fn a_clones_driver_hears_of_what_the_templates_had_not_acknowledged() {
    let mut template = guest();
    let mut queues = template.bring_up(ALL);
    let mut quiet = template.restored(Rng::new(io::repeat(7)));
    queues[0].add(&[into(BUFFERS, 8)]);
    template.kick(0);
    let mut clone = template.restored(Rng::new(io::repeat(7)));
    assert_eq!((quiet.take_interrupt(), clone.take_interrupt()), (0, 1));
    assert!(queues[0].take_used().is_some());
}

#[test]
fn a_clones_device_serves_what_the_templates_had_not_begun() {
    let mut template = guest();
    let mut queues = template.bring_up(ALL);
    queues[0].add(&[into(BUFFERS, 8)]);
    template.write(QUEUE_NOTIFY, 0);
    template.slots.stop_workers();
    let mut clone = template.restored(Rng::new(io::repeat(7)));
    clone.run();
    assert_eq!(queues[0].take_used(), Some((0, 8)));
    assert_eq!(clone.take_interrupt(), 1);
}

#[test]
fn a_clones_device_must_be_like_the_templates() {
    let mut template = guest();
    template.bring_up(ALL);
    let mut saved = template.slots.save(template.slot).unwrap();
    saved.features |= 1;
    let mut clone = guest();
    let free = SlotIndex::new(9).unwrap();
    let refused = clone.slots.restore_at(free, Box::new(Rng::new(io::repeat(7))), &saved);
    assert!(matches!(refused, Err(PlugError::Unlike)));
}

#[test]
fn a_changed_configuration_interrupts() {
    let mut guest = guest();
    guest.bring_up(ALL);
    guest.slots.raise_config(guest.slot);
    assert_eq!(guest.take_interrupt(), 2);
}

#[test]
fn devices_get_the_first_empty_slot_until_there_is_none() {
    let mut guest = guest();
    let far = SlotIndex::new(3).unwrap();
    guest.slots.plug_at(far, Box::new(Rng::new(io::empty()))).unwrap();
    assert_eq!(guest.slots.bitmap(), 0b1001);
    let taken = guest.slots.plug_at(far, Box::new(Rng::new(io::empty())));
    assert_eq!(taken.unwrap_err().to_string(), "slot 3 is taken");
    for expected in [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
        assert_eq!(
            guest.slots.plug(Box::new(Rng::new(io::empty()))).unwrap().get(),
            expected
        );
    }
    assert!(matches!(
        guest.slots.plug(Box::new(Rng::new(io::empty()))),
        Err(PlugError::Full)
    ));
    assert_eq!(guest.slots.bitmap(), u16::MAX);
}

#[test]
fn a_driver_brings_a_device_up_and_is_interrupted() {
    let mut guest = guest();
    assert!(works(&mut guest));
    assert_eq!(guest.take_interrupt(), 1);
    assert_eq!(guest.take_interrupt(), 0);
}

#[test]
fn a_device_can_be_brought_up_again_after_a_reset() {
    let mut guest = guest();
    for _ in 0..3 {
        assert!(works(&mut guest));
        guest.write(STATUS, 0);
        assert_eq!((guest.read(STATUS), guest.read(INTERRUPT_STATUS)), (0, 0));
    }
}

#[test]
fn a_reset_with_requests_under_way_leaves_no_worker_and_no_kick() {
    let mut guest = guest();
    let mut queues = guest.bring_up(ALL);
    queues[0].add(&[into(BUFFERS, 8)]);
    guest.write(QUEUE_NOTIFY, 0);
    guest.write(STATUS, 0);
    guest.run();
    assert_eq!(queues[0].take_used(), None);
    assert!(works(&mut guest));
}

#[test]
fn features_that_were_not_offered_are_not_agreed_on() {
    let mut guest = guest();
    guest.write(STATUS, ACKNOWLEDGE | DRIVER);
    for (low, high) in [(0, 0), (1, 1), (0, 3)] {
        guest.write(DRIVER_FEATURES_SEL, 0);
        guest.write(DRIVER_FEATURES, low);
        guest.write(DRIVER_FEATURES_SEL, 1);
        guest.write(DRIVER_FEATURES, high);
        guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_eq!(guest.read(STATUS), ACKNOWLEDGE | DRIVER);
    }
    assert!(works(&mut guest));
}

#[test]
fn features_cannot_change_once_agreed_on() {
    let mut guest = guest();
    guest.negotiate(ALL);
    guest.write(DRIVER_FEATURES_SEL, 1);
    guest.write(DRIVER_FEATURES, 0);
    let queue = DriverQueue::new(&guest.memory, 0, 8, true);
    guest.set_up(&queue);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(!guest.needs_reset());
}

#[test]
fn steps_cannot_be_left_out_or_taken_back() {
    let mut guest = guest();
    guest.write(STATUS, DRIVER_OK);
    assert_eq!(guest.read(STATUS), 0);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER_OK);
    guest.write(STATUS, DRIVER);
    assert_eq!(guest.read(STATUS), ACKNOWLEDGE | DRIVER);
}

#[test]
fn a_queue_that_was_not_set_up_asks_for_a_reset() {
    let mut guest = guest();
    guest.negotiate(ALL);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(guest.needs_reset());
    assert_eq!(guest.take_interrupt(), 2);
    assert_eq!(guest.refusals(), ["queue 0 is not enabled"]);
    guest.kick(0);
    assert!(works(&mut guest));
}

#[test]
fn rings_outside_memory_ask_for_a_reset() {
    for register in [QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE] {
        for address in [MEMORY_BYTES as u64 - 16, u64::MAX - 15, 1 << 40] {
            let mut guest = guest();
            guest.negotiate(ALL);
            let queue = DriverQueue::new(&guest.memory, 0, 8, true);
            guest.set_up(&queue);
            guest.write(QUEUE_READY, 0);
            guest.write(register, (address & 0xffff_ffff).try_into().unwrap());
            guest.write(register + 4, (address >> 32).try_into().unwrap());
            guest.write(QUEUE_READY, 1);
            guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
            assert_eq!(guest.refusals(), ["queue 0 does not lie inside guest memory"]);
            assert!(guest.needs_reset() && works(&mut guest));
        }
    }
}

#[test]
fn nonsense_sizes_and_places_are_not_taken() {
    let mut guest = guest();
    guest.negotiate(ALL);
    let queue = DriverQueue::new(&guest.memory, 0, 8, true);
    guest.set_up(&queue);
    guest.write(QUEUE_READY, 0);
    for size in [0, 3, 16, 65_536 + 8, u32::MAX] {
        guest.write(QUEUE_SIZE, size);
    }
    guest.write(QUEUE_DESC, 0x1001);
    guest.write(QUEUE_DRIVER, 0x1401);
    guest.write(QUEUE_DEVICE, 0x1802);
    guest.write(QUEUE_READY, 1);
    guest.write(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    assert!(!guest.needs_reset());
}

#[test]
fn a_queue_in_use_keeps_its_place() {
    let mut guest = guest();
    let mut queues = guest.bring_up(ALL);
    guest.write(QUEUE_SEL, 0);
    guest.write(QUEUE_READY, 0);
    guest.write(QUEUE_DESC, 0);
    assert_eq!(guest.read(QUEUE_READY), 1);
    queues[0].add(&[into(BUFFERS, 8)]);
    guest.kick(0);
    assert!(queues[0].take_used().is_some());
}

#[test]
fn an_index_beyond_the_ring_breaks_the_device_until_a_reset() {
    let mut guest = guest();
    let queues = guest.bring_up(ALL);
    queues[0].set_avail_index(QUEUE_ENTRIES + 1);
    guest.kick(0);
    assert!(guest.needs_reset());
    guest.kick(0);
    assert!(works(&mut guest));
}

#[test]
fn a_head_outside_the_table_breaks_the_device_until_a_reset() {
    let mut guest = guest();
    let mut queues = guest.bring_up(ALL);
    queues[0].offer(QUEUE_ENTRIES);
    guest.kick(0);
    assert!(guest.needs_reset() && works(&mut guest));
}

#[test]
fn interrupts_are_left_out_when_the_driver_does_not_want_them() {
    let mut guest = guest();
    let mut queues = guest.bring_up(ALL);
    queues[0].add(&[into(BUFFERS, 8)]);
    guest.kick(0);
    assert_eq!(guest.take_interrupt(), 1);
    // The driver has not looked since: its wish still names the chain before.
    queues[0].add(&[into(BUFFERS, 8)]);
    guest.kick(0);
    assert_eq!(guest.take_interrupt(), 0);
}

#[test]
fn without_event_indexes_every_turn_interrupts() {
    let mut guest = guest();
    let mut queues = guest.bring_up(!EVENT_IDX);
    for _ in 0..2 {
        queues[0].add(&[into(BUFFERS, 8)]);
        guest.kick(0);
        assert_eq!(guest.take_interrupt(), 1);
    }
    guest.kick(0);
    assert_eq!(guest.take_interrupt(), 0);
}

#[test]
fn registers_have_one_width() {
    let guest = guest();
    for width in [1, 2, 3, 5, 8, 16] {
        for offset in 0..0x100 {
            let mut data = vec![0xee; width];
            guest.slots.read(guest.slot, offset, &mut data);
            assert_eq!(data, vec![0; width], "{width} bytes at {offset:#x}");
        }
    }
    let mut data = [];
    guest.slots.read(guest.slot, 0, &mut data);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written, and whatever the memory holds: the device rests, and works after a reset.
    #[test]
    fn arbitrary_writes_do_no_harm(
        writes in prop::collection::vec(
            (prop_oneof![(0u64..0x44).prop_map(|at| at * 4), any::<u64>()], prop_oneof![0u32..16, any::<u32>()]), 0..80),
        widths in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..9)), 0..8),
        garbage in prop::collection::vec(any::<u8>(), 0x3000),
    ) {
        let mut guest = guest();
        if garbage[0] % 2 == 0 {
            guest.bring_up(ALL);
        }
        guest.memory.write_slice(&garbage, GuestAddress(0x1000)).unwrap();
        for (offset, value) in writes {
            guest.write(offset, value);
            guest.read(offset);
        }
        for (offset, data) in widths {
            guest.slots.write(guest.slot, offset, &data);
        }
        guest.run();
        guest.kick(0);
        prop_assert!(works(&mut guest));
    }
}
